/** Agents that speak by messages alone: told, asked, published, and one that outlives its receiver's memory. */
import { addressOf, defineThreadLogic, memoryStore, ThreadManager } from "skein";
import * as z from "zod";

const clerk = defineThreadLogic({
  start: () => ({ stock: new Map() }),
  messages: {
    delivery: z.object({ sku: z.string(), count: z.number() }),
    stock: { message: z.object({ sku: z.string() }), reply: z.object({ count: z.number() }) },
  },
  receive: {
    delivery: ({ sku, count }, { state, topic }) => {
      state.stock.set(sku, (state.stock.get(sku) ?? 0) + count);
      console.log(`clerk has ${count} ${sku}${topic === null ? "" : ` by ${topic}`}`);
    },
    stock: ({ sku }, { state }) => ({ count: state.stock.get(sku) ?? 0 }),
  },
  turn: () => "I only take messages",
});

await using manager = await ThreadManager.create({ store: memoryStore(), logics: { clerk } });
const { thread: buyer } = await manager.startThread();
const { thread } = await manager.startThread({ logic: "clerk" }, { parentThreadId: buyer.id });
const at = addressOf(thread, clerk.messages);

await buyer.send(at, { type: "delivery", sku: "apples", count: 3 });
thread.subscribe("deliveries");
const { reached } = await buyer.publish("deliveries", { type: "delivery", sku: "pears", count: 1 });
console.log("published to", reached.length);
console.log("apples", (await buyer.request(at, { type: "stock", sku: "apples" })).count);

// Stored before `send` resolves: whatever becomes of the clerk, or of this process, it comes to be handled.
await buyer.send(at, { type: "delivery", sku: "plums", count: 2 }, { durable: true });
while ((await manager.mailOf(thread.id)).waiting.length > 0) await new Promise(setImmediate);

// What can't be is an error to the sender, and what reaches nobody is on manager.deadLetters$ too.
manager.deadLetters$.subscribe(({ why, message }) => console.log("dead letter:", message.type, why));
await buyer.send(at, { type: "delivery", sku: "apples", count: "many" }).catch((error) => console.log(error.code));
