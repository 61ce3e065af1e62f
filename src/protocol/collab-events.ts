import type { AgentStatus } from "./agent-status.ts";
import type { ThreadId } from "./ids.ts";

type Call = { call_id: string; sender_thread_id: ThreadId };
type OnReceiver = Call & { receiver_thread_id: ThreadId };

/** Events of one agent working with others (SPEC 14.3); resuming came after 0.87. None of them is stored. */
export type CollabEventMsg =
  | ({ type: "collab_agent_spawn_begin"; prompt: string } & Call)
  | ({
      type: "collab_agent_spawn_end";
      new_thread_id?: ThreadId | null | undefined;
      prompt: string;
      status: AgentStatus;
    } & Call)
  | ({ type: "collab_agent_interaction_begin"; prompt: string } & OnReceiver)
  | ({ type: "collab_agent_interaction_end"; prompt: string; status: AgentStatus } & OnReceiver)
  | ({ type: "collab_waiting_begin"; receiver_thread_ids: ThreadId[] } & Call)
  | ({ type: "collab_waiting_end"; statuses: { [threadId: string]: AgentStatus } } & Call)
  | ({ type: "collab_close_begin" } & OnReceiver)
  | ({ type: "collab_close_end"; status: AgentStatus } & OnReceiver)
  | ({ type: "collab_resume_begin" } & OnReceiver)
  | ({ type: "collab_resume_end"; status: AgentStatus } & OnReceiver);
