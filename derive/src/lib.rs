//! `#[derive(Api)]`: the schema and the reader of an API, from its types.
//!
//! It writes down what the types say, and no more: a table of fields, or of choices. What schema a rule is, and what a
//! request is told that breaks it, stands in `src/api.rs` of Goldpath, in whose crate alone this can be used.
//!
//! For a struct, each of whose fields is an `Api`:
//!
//! ```ignore
//! /// What a Team is to be.
//! #[derive(Api)]
//! struct TeamSpec {
//!     /// The Team's id, for ever.
//!     #[api(Fixed)]
//!     id: TeamId,
//!     /// The id of the Team that this one belongs to.
//!     #[api(Another { own: "id", kind: "Team" })]
//!     parent: Option<TeamId>,
//!     /// The people of the Team, each once.
//!     #[api(Max(500), UniqueInAnyCase("username"))]
//!     members: Vec<Member>,
//! }
//! ```
//!
//! A field's name in requests is its own in camel case, its doc comment is its description, and each rule of `#[api(…)]` is
//! a variant of `Rule`. A field may be left out if its type says what it is then: `Option`, `Vec`, an enum with a
//! `#[default]`, a struct of such fields.
//!
//! For an enum, each variant is a choice, in camel case or, with `#[api(as_written)]` on the enum, as it is; `#[default]` is the
//! one of a request that leaves it out. It serializes as it is chosen.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DataEnum, DeriveInput, Error, Expr, Fields, Ident, Lit, LitStr, Meta, Result, Token};

/// See the crate.
#[proc_macro_derive(Api, attributes(api, default))]
pub fn derive_api(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    let written = match &input.data {
        Data::Struct(data) => derive_struct(&input, &data.fields),
        Data::Enum(data) => derive_enum(&input, data),
        Data::Union(_) => Err(Error::new(input.span(), "a union has no schema")),
    };
    written.unwrap_or_else(|error| error.to_compile_error()).into()
}

fn derive_struct(input: &DeriveInput, fields: &Fields) -> Result<TokenStream> {
    let (name, about) = (&input.ident, doc_of(&input.attrs));
    let (mut names, mut table) = (Vec::new(), Vec::new());
    for field in fields {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new(field.span(), "a field needs a name"))?;
        let (own, about, rules) = (in_camel_case(ident), doc_of(&field.attrs), rules_of(&field.attrs)?);
        let ty = &field.ty;
        table.push(quote!(crate::api::Field::of::<#ty>(#own, #about, &[#(crate::api::Rule::#rules),*])));
        names.push(ident);
    }
    let places = 0..names.len();
    Ok(quote! {
        impl #name {
            /// Its fields, in the order of the type.
            const FIELDS: &'static [crate::api::Field] = &[#(#table),*];

            /// Fills it from the fields of a mapping.
            fn fill(fields: &mut crate::fields::Fields<'_, '_>) -> Option<Self> {
                #(let #names = crate::api::field(fields, &Self::FIELDS[#places]);)*
                Some(Self { #(#names: #names?),* })
            }
        }

        impl crate::api::Api for #name {
            fn schema() -> serde_json::Value {
                crate::api::object(#about, Self::FIELDS)
            }

            fn read(
                node: &crate::document::Node,
                path: &str,
                faults: &mut Vec<crate::violation::Violation>,
            ) -> Option<Self> {
                crate::fields::read(node, path, faults, Self::fill)
            }

            fn absent() -> Option<Self> {
                Some(Self { #(#names: crate::api::Api::absent()?),* })
            }
        }
    })
}

fn derive_enum(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let name = &input.ident;
    let (mut choices, mut words, mut absent) = (Vec::new(), Vec::new(), quote!(None));
    let is_written = |rule: &Expr| matches!(rule, Expr::Path(path) if path.path.is_ident("as_written"));
    let as_written = rules_of(&input.attrs)?.iter().any(is_written);
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(variant.span(), "a choice has no fields"));
        }
        let ident = &variant.ident;
        let own = if as_written { LitStr::new(&ident.to_string(), ident.span()) } else { in_camel_case(ident) };
        choices.push(quote!((#own, Self::#ident)));
        words.push(quote!(Self::#ident => #own));
        if variant.attrs.iter().any(|attribute| attribute.path().is_ident("default")) {
            absent = quote!(Some(Self::#ident));
        }
    }
    let count = choices.len();
    Ok(quote! {
        impl #name {
            /// Every choice, as requests have it.
            pub const ALL: [(&'static str, Self); #count] = [#(#choices),*];
        }

        impl crate::api::Choice for #name {
            fn as_str(&self) -> &'static str {
                match self {
                    #(#words),*
                }
            }
        }

        impl serde::Serialize for #name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(crate::api::Choice::as_str(self))
            }
        }

        impl crate::api::Api for #name {
            fn schema() -> serde_json::Value {
                crate::api::choice(&Self::ALL, Self::absent())
            }

            fn read(
                node: &crate::document::Node,
                path: &str,
                faults: &mut Vec<crate::violation::Violation>,
            ) -> Option<Self> {
                crate::api::leaf(node, path, faults, |node| crate::fields::text(node, |text| crate::fields::one_of(text, &Self::ALL)))
            }

            fn absent() -> Option<Self> {
                #absent
            }
        }
    })
}

/// The rules of `#[api(…)]`.
fn rules_of(attributes: &[Attribute]) -> Result<Vec<Expr>> {
    let mut rules = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("api")) {
        rules.extend(attribute.parse_args_with(Punctuated::<Expr, Token![,]>::parse_terminated)?);
    }
    Ok(rules)
}

/// The lines of a doc comment as one.
fn doc_of(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(value) => match &value.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ")
}

/// A name of Rust's, `allow_network_from` or `Admin`, as Kubernetes has it: `allowNetworkFrom`, `admin`.
fn in_camel_case(name: &Ident) -> LitStr {
    let mut written = String::new();
    for word in name.to_string().trim_start_matches("r#").split('_').filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        written += &if written.is_empty() { first.to_ascii_lowercase() } else { first.to_ascii_uppercase() };
        written += rest;
    }
    LitStr::new(&written, name.span())
}
