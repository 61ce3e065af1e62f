/** The page's line to its server: requests, what is told, and coming back after either end was away. */
import { signal } from "@preact/signals";

/** `over`: the session is not known (any more): only a new address from the server helps. */
export type LineState = "connecting" | "open" | "away" | "over";

export type Told = { readonly method: string; readonly params: Readonly<Record<string, unknown>> };

const SESSION = "skein.session";
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5_000;

class RpcError extends Error {
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.name = "RpcError";
    this.code = code;
  }
}

type Waiting = { readonly resolve: (result: unknown) => void; readonly reject: (error: Error) => void };

export class Line {
  readonly state = signal<LineState>("connecting");
  readonly #onOpen: () => Promise<void>;
  readonly #onTold: (told: Told) => void;
  readonly #waiting = new Map<number, Waiting>();
  #socket: WebSocket | undefined;
  #next = 1;
  #wait = FIRST_WAIT_MS;

  constructor(onOpen: () => Promise<void>, onTold: (told: Told) => void) {
    this.#onOpen = onOpen;
    this.#onTold = onTold;
  }

  /** Takes the invitation out of the address, where there is one, and connects. */
  async open(): Promise<void> {
    const invitation = /^#token=([\w-]+)/.exec(location.hash)?.[1];
    if (invitation !== undefined) {
      history.replaceState(null, "", `${location.pathname}${sessionStorage.getItem("skein.place") ?? ""}`);
      const headers = { authorization: `Bearer ${invitation}` };
      const answer = await fetch("session", { method: "POST", headers }).catch(() => undefined);
      if (answer?.ok) sessionStorage.setItem(SESSION, ((await answer.json()) as { session: string }).session);
    }
    // Where the session is not known, the next invitation that this tab opens leads to the place.
    else if (location.hash.startsWith("#/")) sessionStorage.setItem("skein.place", location.hash);
    await this.#connect();
  }

  async #connect(): Promise<void> {
    const session = sessionStorage.getItem(SESSION);
    if (session === null) {
      this.state.value = "over";
      return;
    }
    const known = await this.#isKnown(session);
    if (known === false) {
      this.state.value = "over";
      return;
    }
    if (known === undefined) return this.#later();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/studio/line`, ["skein.v2", `skein.token.${session}`]);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(String(data));
    socket.onclose = () => this.#closed();
    socket.onopen = () => void this.#greet();
  }

  /** A refused upgrade and no server look alike to a page: so it asks. undefined: there is no server. */
  async #isKnown(session: string): Promise<boolean | undefined> {
    const headers = { authorization: `Bearer ${session}` };
    const answer = await fetch("session", { headers }).catch(() => undefined);
    return answer === undefined ? undefined : answer.ok;
  }

  async #greet(): Promise<void> {
    try {
      const clientInfo = { name: "skein-studio", title: "Skein studio", version: "1" };
      await this.request("initialize", { clientInfo, capabilities: { experimentalApi: true } });
      await this.#onOpen();
      this.#wait = FIRST_WAIT_MS;
      this.state.value = "open";
    } catch {
      this.#socket?.close();
    }
  }

  #closed(): void {
    for (const { reject } of this.#waiting.values()) reject(new RpcError("the server is away", "away"));
    this.#waiting.clear();
    this.#socket = undefined;
    this.#later();
  }

  #later(): void {
    this.state.value = "away";
    setTimeout(() => void this.#connect(), this.#wait);
    this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
  }

  #take(text: string): void {
    const message = JSON.parse(text) as Partial<Told> & {
      id?: number;
      result?: unknown;
      error?: { message: string; data?: { code?: string } };
    };
    if (message.method !== undefined) {
      // A question to this client has an id; it is answered in the inbox, by a method.
      if (message.id === undefined) this.#onTold({ method: message.method, params: message.params ?? {} });
      return;
    }
    const waiting = this.#waiting.get(message.id ?? -1);
    this.#waiting.delete(message.id ?? -1);
    if (message.error === undefined) waiting?.resolve(message.result);
    else waiting?.reject(new RpcError(message.error.message, message.error.data?.code ?? ""));
  }

  /** The server that serves the page is the one that answers: shapes are its word. @throws RpcError */
  request<T>(method: string, params: object = {}): Promise<T> {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return Promise.reject(new RpcError("the server is away", "away"));
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.set(id, { resolve: (result) => resolve(result as T), reject });
    socket.send(JSON.stringify({ id, method, params }));
    return promise;
  }
}
