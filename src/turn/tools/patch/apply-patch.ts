import * as z from "zod";
import type { BuiltInTool } from "../built-in-tool.ts";
import type { ProcessEnvironment } from "../clean-environment.ts";
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
  description: `Use the \`apply_patch\` tool to edit files. A patch is:

*** Begin Patch
[one or more file sections]
*** End Patch

Each section starts with one of three headers:

*** Add File: <path> - create a new file. Every following line is a + line (the initial contents).
*** Delete File: <path> - remove an existing file. Nothing follows.
*** Update File: <path> - patch an existing file in place, optionally followed by *** Move to: <new path> to rename it.

An update has one or more hunks. Each starts with @@ (optionally followed by a line of the file that stands before the change, such as a function's head), then lines that begin with a space (unchanged), - (removed) or + (added). Show about 3 lines of unchanged context around each change. *** End of File marks a hunk at the file's end.

Example:

*** Begin Patch
*** Add File: hello.txt
+Hello world
*** Update File: src/app.py
*** Move to: src/main.py
@@ def greet():
-print("Hi")
+print("Hello, world!")
*** Delete File: obsolete.txt
*** End Patch

Paths are relative to the working directory.`,
  strict: false,
  parameters: {
    type: "object",
    properties: { input: { type: "string", description: "The entire contents of the apply_patch command" } },
    required: ["input"],
    additionalProperties: false,
  },
};
