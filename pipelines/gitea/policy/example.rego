# An example of a platform's own rules, in Rego (https://www.openpolicyagent.org/docs/policy-language).
# Copy it beside the configuration, change it to your own, and name it there: `review.policy.rules`.
# Try it on a plan: `terraform show -json plan | goldpath policy --module teams/alpha -`.
#
# The package is `goldpath`, or one under it. Each file stands for itself. What counts in it:
#   deny         what is not applied, whoever approves it
#   needs_owner  what is applied only if an owner of the platform approves it
#   warn         what a reviewer must not miss
# Each is a set of texts, or of objects: `id` (the rule's name, for waivers), `place` (of what), and `msg`.
#
# What is in `input`:
#   plan     what `terraform show -json` prints; with sensitive values, so do not put these into a message
#   module   the root module's folder, as "teams/alpha"
#   request  `kind`, `namespace` and `name` of the request that owns the folder, or null
#   deletes  whether the whole root module is to be destroyed
package goldpath.example

# What is there after the apply.
planned := object.get(input.plan, ["planned_values", "root_module", "resources"], [])

# Names that begin so are for what the platform's tests make.
deny contains {"id": "temporary-name", "place": resource.address, "msg": msg} if {
	some resource in planned
	resource.type == "gitea_org"
	startswith(resource.values.name, "tmp-")
	msg := sprintf("the name %q begins with \"tmp-\": choose another one", [resource.values.name])
}

# Somebody must be able to let others in.
needs_owner contains {"id": "no-admin", "place": resource.address, "msg": msg} if {
	not input.deletes
	some resource in planned
	resource.type == "gitea_team"
	resource.name == "admin"
	count([m | some m in planned; m.type == "gitea_team_membership"; m.name == resource.name]) == 0
	msg := "no member of the team is an admin: add one, or let an owner of the platform look after it"
}

# A change of this many resources deserves a second look.
warn contains {"id": "large", "msg": msg} if {
	changes := [c | some c in object.get(input.plan, "resource_changes", []); c.change.actions != ["no-op"]]
	count(changes) > 50
	msg := sprintf("%d resources change at once", [count(changes)])
}
