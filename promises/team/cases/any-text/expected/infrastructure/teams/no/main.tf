resource "gitea_org" "team" {
  name        = "no"
  full_name   = "Ünï \"quoted\" \\back $${var.x} %%{if} {{ y }} {% z %} 🦀 李"
  description = "# not a comment: 'single' *alias &anchor !!tag `cmd` $(cmd) $$${x} --- | > @ % <b>"
  visibility  = "public"
}
