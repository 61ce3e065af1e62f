import * as z from "zod";
import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import type { BuiltInTool } from "../built-in-tool.ts";
import { runPatch } from "./patch-call.ts";

const argumentsSchema = z.looseObject({ input: z.string() });

/** Codex's `apply_patch` as a function tool; a custom tool call brings the patch as its text. */
export function applyPatch(environment: ProcessEnvironment): BuiltInTool {
  return {
    spec: SPEC,
    async run(call) {
      const text = call.kind === "custom_tool_call" ? call.raw : call.argumentsAs(argumentsSchema).input;
      return call.exclusively(() => runPatch(call, { text, cwd: call.config.cwd, environment }));
    },
  };
}

const SPEC: BuiltInTool["spec"] = {
  type: "function",
  name: "apply_patch",
  description: `Creates, changes, moves and deletes files by a patch in this format:

*** Begin Patch
*** Add File: notes/todo.md
+first line of the new file
+second line
*** Update File: lib/sum.ts
*** Move to: lib/total.ts
@@ export function sum(
   let total = 0;
-  for (const n of all) total =+ n;
+  for (const n of all) total += n;
   return total;
*** Delete File: lib/old.ts
*** End Patch

The lines of a new file all begin with +. An update is a list of hunks; "*** Move to" is only there to rename the file. A hunk begins with @@ and, if need be, a line that stands above it in the file, to tell like places apart. Its lines begin with a blank (stays), - (goes) or + (comes); leave some three lines that stay around each change. A hunk at the end of the file may close with "*** End of File". Paths are relative to the working directory.`,
  strict: false,
  parameters: {
    type: "object",
    properties: { input: { type: "string", description: "The patch, from *** Begin Patch to *** End Patch." } },
    required: ["input"],
    additionalProperties: false,
  },
};
