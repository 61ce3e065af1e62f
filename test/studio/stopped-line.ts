import type { Page } from "playwright-core";
import { DEADLINE_MS } from "./browser.ts";

/** The page's line, whose answers can be held back or be its last word. Trees come in pages of two threads. */
export async function stoppedLine(page: Page) {
  const asked = new Map<number, string>();
  let stop: { method: string; left: number; breaks: boolean } | undefined;
  let held: (() => void)[] | undefined;
  const stopAt = (method: string, left = 1, breaks = false) => {
    stop = { method, left, breaks };
  };
  stopAt("skein/tree/read");
  await page.routeWebSocket(/\/studio\/line$/, (client) => {
    const server = client.connectToServer();
    let isBroken = false;
    client.onMessage((text) => {
      const request = JSON.parse(String(text)) as { id: number; method: string; params: object };
      asked.set(request.id, request.method);
      const params = request.method === "skein/tree/read" ? { ...request.params, limit: 2 } : request.params;
      if (!isBroken) server.send(JSON.stringify({ ...request, params }));
    });
    server.onMessage((text) => {
      const method = asked.get((JSON.parse(String(text)) as { id?: number }).id ?? -1);
      const isIt = stop !== undefined && method === stop.method && --stop.left === 0;
      if (isIt && stop?.breaks) {
        client.send(text);
        isBroken = true;
        stop = undefined;
        asked.clear();
        void client.close();
        void server.close();
      } else if (isIt) held = [() => client.send(text)];
      // Notifications overtake it; other answers do not.
      else if (held !== undefined && method !== undefined) held.push(() => client.send(text));
      else client.send(text);
    });
  });
  return {
    stopAt,
    breakAt: (method: string) => stopAt(method, 1, true),
    async isStopped(method: string): Promise<void> {
      for (const since = performance.now(); held === undefined; ) {
        if (performance.now() - since > DEADLINE_MS) throw new Error(`nobody asked for ${method}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    goOn(): void {
      stop = undefined;
      for (const send of held ?? []) send();
      held = undefined;
    },
  };
}
