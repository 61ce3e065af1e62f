/** Items that a client brings. Apart from params.ts, which `initialize` waits for: their schema is large. */
import * as z from "zod";
import { type ResponseItem, responseItemSchema } from "../protocol/response-item.ts";
import { problemOf, readParams } from "./params.ts";

/** A history that a client brings. @throws RpcError as `readParams` */
export const readHistory = (items: readonly unknown[]): { type: "response_item"; payload: ResponseItem }[] =>
  readParams(z.array(responseItemSchema), items).map((payload) => ({ type: "response_item", payload }));

/** What is wrong with an item that a client brings, in the words of `readParams`; the item itself where nothing is. */
export function readItem(item: unknown): ResponseItem | string {
  const { success, data, error } = responseItemSchema.safeParse(item);
  return success ? data : problemOf(error.issues, item);
}
