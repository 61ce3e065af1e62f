import type { ProcessEnvironment } from "../../process/clean-environment.ts";
import type { BuiltInToolName } from "../../protocol/built-in-tool-names.ts";
import { collabTools } from "./agents/collab.ts";
import { multiAgentTools } from "./agents/multi-agent.ts";
import type { BuiltInTool } from "./built-in-tool.ts";
import { execCommand } from "./exec/exec-command.ts";
import { writeStdin } from "./exec/write-stdin.ts";
import { applyPatch } from "./patch/apply-patch.ts";
import { requestUserInput } from "./request-user-input.ts";
import { shellArgv } from "./shell/shell-argv.ts";
import { shellCommand } from "./shell/shell-command.ts";
import { updatePlan } from "./update-plan.ts";
import { viewImage } from "./view-image.ts";

/** The tools of the house, made once for all threads of a manager. */
export class BuiltIns {
  readonly #tools: Readonly<Record<BuiltInToolName, readonly BuiltInTool[]>>;
  /** Older names of tools that run commands: models call them where they are offered another. */
  readonly #aliases: readonly BuiltInTool[];

  /** @param environment what commands inherit, secrets left out */
  constructor(environment: ProcessEnvironment) {
    const shell = shellCommand(environment);
    this.#tools = {
      shell: [shell],
      unified_exec: [execCommand(environment), writeStdin],
      apply_patch: [applyPatch(environment)],
      update_plan: [updatePlan],
      view_image: [viewImage],
      request_user_input: [requestUserInput],
      multi_agent: multiAgentTools,
      collab: collabTools,
    };
    this.#aliases = [shell, shellArgv(environment)].map((tool) => ({ ...tool, offered: "alias" }));
  }

  named(names: readonly BuiltInToolName[]): BuiltInTool[] {
    const offered = [...new Set(names)].flatMap((name) => this.#tools[name]);
    if (!names.includes("unified_exec")) return offered;
    const taken = new Set(offered.map(({ spec }) => spec.name));
    return [...offered, ...this.#aliases.filter(({ spec }) => !taken.has(spec.name))];
  }
}
