/**
 * Spreads the engine's requests over workers: a reverse proxy for HTTP/2 without TLS, each request to the next worker that is
 * well. The engine holds few connections and sends many requests over each, so what balances connections would load one worker.
 * It is written here so that a cluster on one machine needs nothing that only root can install; elsewhere stands what the place has.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";

const CHECK_MS = 200;
/**
 * One that is late gets nothing new, and keeps what it has: all of its turns would be begun anew elsewhere, which makes the others late
 * as well. One that has said nothing for `silentMs` stands still.
 */
const PATIENCE = { answerMs: 2_000, silentMs: 8_000 } as const;
type Patience = { readonly answerMs: number; readonly silentMs: number };
/** Enough that a long message is not stop and go. */
const WINDOW = { initialWindowSize: 1024 * 1024 };
const NOBODY_IS_WELL = { ":status": 503, "content-type": "text/plain" };

/** One worker, as the balancer sees it: asked again and again whether it takes new turns. */
class Target {
  readonly url: string;
  readonly #patience: Patience;
  #session: ClientHttp2Session | undefined;
  #isWell = false;
  #asking: Promise<void> | undefined;
  #heardAt = 0;

  constructor(url: string, patience: Patience) {
    this.url = url;
    this.#patience = patience;
  }

  get isWell(): boolean {
    return this.#isWell && this.#session !== undefined && !this.#session.closed && !this.#session.destroyed;
  }

  /** How many requests it was given. */
  passed = 0;

  request(headers: IncomingHttpHeaders): ClientHttp2Stream | undefined {
    if (!this.isWell) return undefined;
    this.passed += 1;
    return this.#session?.request(headers);
  }

  /** One question at a time: who asks meanwhile waits for its answer. */
  check(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(): Promise<void> {
    try {
      this.#isWell = (await this.#status()) === 200;
      this.#heardAt = performance.now();
    } catch {
      this.#isWell = false;
      if (performance.now() - this.#heardAt < this.#patience.silentMs) return;
      this.#session?.destroy();
      this.#session = undefined;
    }
  }

  #status(): Promise<number | undefined> {
    const session = this.#open();
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    const asked = session.request({ ":path": "/skein/health" }, { endStream: true });
    asked.once("response", (headers) => resolve(headers[":status"]));
    asked.once("error", reject).once("close", () => reject(new Error("no answer")));
    asked.setTimeout(this.#patience.answerMs, () => asked.close(constants.NGHTTP2_CANCEL));
    asked.resume();
    return promise;
  }

  #open(): ClientHttp2Session {
    const held = this.#session;
    if (held !== undefined && !held.closed && !held.destroyed) return held;
    const session = connect(this.url, { settings: WINDOW });
    session.on("error", () => undefined); // the requests on it fail, and tell
    this.#session = session;
    this.#heardAt = performance.now();
    return session;
  }

  close(): void {
    this.#session?.destroy();
  }
}

export class Balancer implements AsyncDisposable {
  readonly url: string;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #checking: NodeJS.Timeout;
  readonly #patience: Patience;
  #targets: readonly Target[] = [];
  #turn = 0;

  private constructor(server: Http2Server, port: number, patience: Patience) {
    this.#patience = patience;
    this.url = `http://127.0.0.1:${port}`;
    this.#server = server;
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => undefined).once("close", () => this.#sessions.delete(session));
    });
    server.on("stream", (stream, headers) => this.#pass(stream, headers));
    this.#checking = setInterval(() => void this.check(), CHECK_MS);
  }

  /**
   * @param patience how long a worker has for an answer, and how long it may be silent before its requests are cut off
   * @throws what the system says of the port
   */
  static async listen({
    port = 0,
    patience = PATIENCE,
  }: {
    port?: number;
    patience?: Patience;
  } = {}): Promise<Balancer> {
    const server = createServer({ settings: WINDOW });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(port, "127.0.0.1", resolve);
    });
    const address = server.address();
    return new Balancer(server, typeof address === "object" && address !== null ? address.port : port, patience);
  }

  /** Who gets requests from now on; requests that run stay where they are. */
  async serve(urls: readonly string[]): Promise<void> {
    const before = this.#targets;
    this.#targets = urls.map((url) => before.find((target) => target.url === url) ?? new Target(url, this.#patience));
    await this.check();
  }

  /** How many workers take requests. */
  get well(): number {
    return this.#targets.filter(({ isWell }) => isWell).length;
  }

  /** How many requests each worker was given, in the order of {@link serve}. */
  get passed(): readonly number[] {
    return this.#targets.map(({ passed }) => passed);
  }

  async check(): Promise<void> {
    await Promise.all(this.#targets.map((target) => target.check()));
  }

  #next(headers: IncomingHttpHeaders): ClientHttp2Stream | undefined {
    for (let tried = 0; tried < this.#targets.length; tried += 1) {
      this.#turn = (this.#turn + 1) % this.#targets.length;
      const upstream = this.#targets[this.#turn]?.request(headers);
      if (upstream !== undefined) return upstream;
    }
    return undefined;
  }

  /** A request goes to one worker, whole; one whose worker dies ends as its connection does, and the engine tries it again. */
  #pass(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on("error", () => undefined); // its close is passed on
    const upstream = this.#next(headers);
    if (upstream === undefined) {
      stream.respond(NOBODY_IS_WELL);
      stream.end("no worker takes requests\n");
      return;
    }
    upstream.on("error", () => undefined);
    upstream.once("response", (answer) => {
      if (stream.destroyed) return;
      stream.respond(answer);
      upstream.pipe(stream);
    });
    stream.pipe(upstream);
    upstream.once("close", () => {
      if (!upstream.readableEnded || !stream.headersSent)
        stream.close(upstream.rstCode || constants.NGHTTP2_INTERNAL_ERROR);
    });
    stream.once("close", () => {
      if (!upstream.closed) upstream.close(constants.NGHTTP2_CANCEL);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#checking);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const target of this.#targets) target.close();
    for (const session of this.#sessions) session.destroy();
    await closed;
  }
}
