import { isIPv4 } from "node:net";

/**
 * Whether an address leads to this machine alone: `localhost`, 127.0.0.0/8 or ::1, in brackets or not. Another name is none of them,
 * however it begins: who answers to it is not known.
 */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  return address === "localhost" || address === "::1" || (isIPv4(address) && address.startsWith("127."));
}
