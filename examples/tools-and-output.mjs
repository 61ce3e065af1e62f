/** Tools whose input is checked, and a final answer that is read by a schema. */
import { call, memoryStore, say, scriptedClient, ThreadManager, tool } from "skein";
import { z } from "zod";

const PRICES = { apple: 40, pear: 55 };

const price = tool({
  name: "price",
  description: "The price of a fruit in cents.",
  input: z.object({ fruit: z.enum(["apple", "pear"]) }),
  execute: ({ fruit }) => ({ cents: PRICES[fruit] }),
});

// The model asks for something that is not sold, is told so, and asks again. A real one goes here: responsesClient(...).
const model = scriptedClient([
  [call("price", { fruit: "plum" })],
  [call("price", { fruit: "apple" }), call("price", { fruit: "pear" })],
  [say('{"total":95,"currency":"cents"}')],
]);

const manager = await ThreadManager.create({ store: memoryStore(), model, tools: [price] });
const { thread } = await manager.startThread();
thread.events$.subscribe(({ msg }) => {
  if (msg.type === "raw_response_item" && msg.item.type === "function_call_output") console.log(msg.item.output);
});

const outputSchema = z.object({ total: z.number(), currency: z.string() });
const { output, status } = await thread.run("What do an apple and a pear cost?", { outputSchema });
console.log(status, output?.total, output?.currency);
await manager.shutdown();
