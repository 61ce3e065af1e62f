import type { BuiltInToolName } from "../../protocol/thread-config.ts";
import { collabTools } from "./agents/collab.ts";
import { multiAgentTools } from "./agents/multi-agent.ts";
import type { BuiltInTool } from "./built-in-tool.ts";
import type { ProcessEnvironment } from "./clean-environment.ts";
import { applyPatch } from "./patch/apply-patch.ts";
import { shellCommand } from "./shell/shell-command.ts";
import { updatePlan } from "./update-plan.ts";

/** The tools of the house, made once for all threads of a manager. */
export class BuiltIns {
  readonly #tools: Readonly<Record<BuiltInToolName, readonly BuiltInTool[]>>;

  /** @param environment what commands inherit, secrets left out */
  constructor(environment: ProcessEnvironment) {
    this.#tools = {
      shell: [shellCommand(environment)],
      apply_patch: [applyPatch(environment)],
      update_plan: [updatePlan],
      multi_agent: multiAgentTools,
      collab: collabTools,
    };
  }

  named(names: readonly BuiltInToolName[]): BuiltInTool[] {
    return [...new Set(names)].flatMap((name) => this.#tools[name]);
  }
}
