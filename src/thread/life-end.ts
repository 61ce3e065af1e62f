import type { ThreadTag } from "../../machines/thread.machine.ts";

/** Why an incarnation ended. `killed`: by force. `lost`: nothing of it can be stored any more. `refused`: it never came to be. */
export type EndReason = "closed" | "crashed" | "unloaded" | "killed" | "lost" | "refused";

/** How an incarnation ended; `error` is what it crashed of, or what made its end necessary. */
export type LifeEnd = { readonly reason: EndReason; readonly epoch: number; readonly error?: unknown };

/** What a thread does, as its state tells; `gone` when it has ended. */
export type Activity = Exclude<ThreadTag, "takesInput"> | "starting" | "gone";
