import { type AgentStatus, isFinalStatus, statusUnder } from "../protocol/agent-status.ts";
import { ThreadClosedError, ThreadNotFoundError } from "../protocol/errors.ts";
import { newTurnId, type ThreadId } from "../protocol/ids.ts";
import { contextMessage } from "../protocol/response-item.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { lastStatusOf } from "./agent-control.ts";
import type { AgentThreads } from "./threads.ts";

/**
 * Tells a parent's model of its agents' ends, once for each time that one is started or resumed (SPEC 14.4). The notice
 * joins the turn that the parent runs, or waits in its history for the next one; it starts none.
 */
export class EndNotices {
  readonly #threads: Pick<AgentThreads, "isClosing" | "get" | "logger">;

  constructor(threads: Pick<AgentThreads, "isClosing" | "get" | "logger">) {
    this.#threads = threads;
  }

  /** Follows the agent until it is done or closed. */
  follow(agent: LiveThread, parent: ThreadId): void {
    let isTold = false;
    let stop = () => {};
    const tell = (status: AgentStatus) => {
      if (isTold) return;
      isTold = true;
      stop();
      void this.#tell(parent, agent.id, status);
    };
    const look = () => {
      const status = statusUnder("0.169", agent.outcome);
      if (isFinalStatus(status)) tell(status);
    };
    stop = agent.observe({ event: look, closed: () => tell(lastStatusOf(agent)) });
    if (isTold) stop();
    else look();
  }

  async #tell(parent: ThreadId, agent: ThreadId, status: AgentStatus): Promise<void> {
    if (this.#threads.isClosing) return;
    try {
      const thread = await this.#threads.get(parent);
      const item = contextMessage(noticeOf(agent, status), "multi_agent.subagent_notification");
      await thread.submitWithId({ id: newTurnId(), isNew: true, op: { type: "inject_items", items: [item] } });
    } catch (error) {
      if (error instanceof ThreadNotFoundError || error instanceof ThreadClosedError || this.#threads.isClosing) return;
      this.#threads.logger.warn({ threadId: parent, agent, err: error }, "an agent's end could not be told");
    }
  }
}

const noticeOf = (agent: ThreadId, status: AgentStatus): string =>
  `<subagent_notification>\n${JSON.stringify({ agent_path: agent, status })}\n</subagent_notification>`;
