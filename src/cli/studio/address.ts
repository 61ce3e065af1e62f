import { spawn } from "node:child_process";
import type { StudioServer } from "../../studio/create-studio.ts";
import { type Io, isTerminal } from "../terminal/io.ts";

/** Prints an address that opens the page once, another one for each Enter, and opens the first in the browser. */
export function showAddress(studio: StudioServer, io: Io, { opens }: { readonly opens: boolean }): Disposable {
  const { stdin, stdout } = io;
  const isAtTerminal = isTerminal(stdout, io.env) && stdin.isTTY;
  const print = (): string => {
    const address = studio.invite();
    stdout.write(`skein studio: ${address}\n`);
    return address;
  };
  const first = print();
  if (isAtTerminal) stdout.write("It opens once; Enter prints another, Ctrl-C ends.\n");
  if (opens && isAtTerminal) openInBrowser(first);
  if (!isAtTerminal) return { [Symbol.dispose]: () => undefined };
  const onEnter = () => void print();
  stdin.on("data", onEnter);
  return {
    [Symbol.dispose]() {
      stdin.off("data", onEnter);
      stdin.pause();
    },
  };
}

/** Where there is no browser, the address has been printed. */
function openInBrowser(address: string): void {
  const [command = "", ...args] =
    process.platform === "darwin" ? ["open"] : process.platform === "win32" ? ["explorer"] : ["xdg-open"];
  const child = spawn(command, [...args, address], { stdio: "ignore", detached: true });
  child.on("error", () => undefined);
  child.unref();
}
