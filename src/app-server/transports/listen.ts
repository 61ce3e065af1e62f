import { isIP } from "node:net";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { Listener, ListenOptions } from "./listener.ts";

export type ListenAddress =
  | { readonly kind: "stdio" }
  | { readonly kind: "ws"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** @throws InvalidRequestError */
export function readListenUrl(url: string): ListenAddress {
  if (url === "stdio://") return { kind: "stdio" };
  if (url.startsWith("unix://")) {
    const path = url.slice("unix://".length);
    if (path.startsWith("/")) return { kind: "unix", path };
  }
  const { host, port } = /^ws:\/\/(?<host>\[[^\]]+\]|[^:/]+):(?<port>\d+)\/?$/.exec(url)?.groups ?? {};
  const ip = host?.replace(/^\[|\]$/g, "");
  if (ip !== undefined && isIP(ip) !== 0 && Number(port) <= 65_535) return { kind: "ws", host: ip, port: Number(port) };
  throw new InvalidRequestError(`--listen: \`${url}\` must be stdio://, ws://IP:PORT or unix:///absolute/path`);
}

/** The transports are loaded when they are needed: stdio must not pay for WebSockets. */
export async function listenOn(url: string, options: ListenOptions): Promise<Listener> {
  const address = readListenUrl(url);
  if (address.kind === "stdio") {
    const { listenOnStdio } = await import("./stdio.ts");
    return listenOnStdio({ input: process.stdin, output: process.stdout }, options);
  }
  const { listenOnTcp, listenOnSocket } = await import("./ws.ts");
  return address.kind === "ws" ? listenOnTcp(address, options) : listenOnSocket(address.path, options);
}
