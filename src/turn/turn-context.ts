/** What the model was told of the settings, as the rollout holds it. */
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";

/** One line a request, as Codex writes it (SPEC 7.3): what the request ran with. A compaction has one behind it, of what it told anew. */
export function recordTurnContext(host: TurnHost, run: TurnRun): void {
  const { config } = run;
  host.record({
    type: "turn_context",
    payload: {
      turn_id: run.turnId,
      cwd: config.cwd,
      approval_policy: config.approvalPolicy,
      sandbox_policy: config.sandboxPolicy,
      model: config.model,
      ...(config.reasoningEffort === null ? {} : { effort: config.reasoningEffort }),
      summary: config.reasoningSummary ?? "auto",
      ...modeOf(config),
    },
  });
}

/** The mode that the request ran in, as Codex writes it, where one was chosen. */
const modeOf = ({ collaborationMode: chosen, model, reasoningEffort }: TurnRun["config"]) =>
  chosen === null
    ? {}
    : {
        collaboration_mode: {
          mode: chosen.mode,
          settings: { model, reasoning_effort: reasoningEffort, developer_instructions: chosen.instructions },
        },
      };
