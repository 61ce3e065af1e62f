/** Has a thread of a home killed by its mail: `mail-child HOME` starts it and sends, `mail-child HOME THREAD` loads it again. */
import * as z from "zod";
import { defineThreadLogic, type MessageRefusedError, ThreadManager } from "../../src/index.ts";

const [home = "", threadId] = process.argv.slice(2);
const handled: string[] = [];
const letters: string[] = [];
const logic = defineThreadLogic({
  messages: { killer: z.object({}), fine: z.object({}) },
  receive: {
    killer: () => void process.kill(process.pid, "SIGKILL"),
    fine: () => void handled.push("fine"),
  },
  turn: () => "x",
});
const manager = await ThreadManager.create({ home, threadLogic: logic });
manager.deadLetters$.subscribe(({ error }) => letters.push((error as MessageRefusedError).reason));
if (threadId === undefined) {
  const { thread } = await manager.startThread();
  process.stdout.write(`${thread.id}\n`);
  const sending = [
    manager.send(thread, { type: "killer" }, { durable: true }),
    manager.send(thread, { type: "fine" }, { durable: true }),
  ];
  await Promise.all(sending);
  await new Promise(() => setInterval(() => undefined, 1_000));
} else {
  await manager.resumeThread(threadId, {}, { lease: "wait", deadlineMs: 20_000 });
  while (handled.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const { waiting, setAside } = await manager.mailOf(threadId);
  await manager.shutdown();
  const aside = setAside.map(({ message, attempts }) => [message.type, attempts]);
  process.stdout.write(JSON.stringify({ handled, setAside: aside, letters, waiting }));
}
