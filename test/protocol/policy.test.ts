import assert from "node:assert/strict";
import { test } from "node:test";
import { sandboxModeOf, sandboxPolicyOfMode, sandboxPolicySchema } from "../../src/protocol/policy.ts";

test("a sandbox mode and its policy name each other", () => {
  for (const mode of ["read-only", "workspace-write", "danger-full-access"] as const) {
    const policy = sandboxPolicyOfMode(mode, ["/r"]);
    assert.equal(sandboxModeOf(policy), mode);
    assert.deepEqual(sandboxPolicySchema.parse(policy), policy);
  }
  assert.deepEqual(sandboxPolicySchema.parse({ type: "external-sandbox" }), {
    type: "external-sandbox",
    network_access: "restricted",
  });
});
