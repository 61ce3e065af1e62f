/** A thread from its first event to a fork of it. The scripted model answers, so nothing else is needed. */
import { memoryStore, ThreadManager } from "skein";

const manager = await ThreadManager.create({ store: memoryStore() });
const { thread, threadId } = await manager.startThread();

// What a thread says is numbered without gaps. The first event of every life is session_configured, seq 0.
const events = thread.events({ after: -1 });
const first = (await events.next()).value;
console.log(first.seq, first.msg.type);

const { lastAgentMessage } = await thread.run("Hello!");
console.log(lastAgentMessage);
for await (const { seq, msg } of events) {
  console.log(seq, msg.type);
  if (msg.type === "task_complete") break;
}

// A fork begins where the anchor says, here before the first message, and costs the same however long the history is.
const fork = await manager.forkThread({ from: threadId, at: { beforeUserMessage: 0 } });
console.log((await fork.thread.run("Hello again!")).lastAgentMessage);
await manager.shutdown();
