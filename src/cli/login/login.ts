import { fileAuthManager } from "../../services/auth-manager.ts";
import { EXIT, Exit, UsageError } from "../failure.ts";
import { type HomeOption, homeOf } from "../home-folder.ts";
import type { Io } from "../terminal/io.ts";

export type LoginOptions = HomeOption & { readonly withApiKey?: boolean };

/** Stores the key that standard input holds. The texts are Codex's: clients read them. */
export async function logIn(options: LoginOptions, io: Io): Promise<void> {
  if (options.withApiKey !== true) {
    throw new UsageError("sign-in is by API key: `printenv OPENAI_API_KEY | skein login --with-api-key`");
  }
  if (io.stdin.isTTY) {
    throw new UsageError("--with-api-key expects the key on standard input: `skein login --with-api-key < key.txt`");
  }
  const chunks: Buffer[] = [];
  for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk));
  await authOf(options, io).loginWithApiKey(Buffer.concat(chunks).toString("utf8"));
  io.stderr.write("Successfully logged in\n");
}

const STATUS = { apikey: "Logged in using an API key", chatgpt: "Logged in using ChatGPT" } as const;

/** Says how the user is signed in, and nothing of the key. */
export async function showStatus(options: HomeOption, io: Io): Promise<void> {
  const { authMethod } = authOf(options, io).status();
  io.stderr.write(`${authMethod === null ? "Not logged in" : STATUS[authMethod]}\n`);
  if (authMethod === null) throw new Exit(EXIT.failed);
}

export async function logOut(options: HomeOption, io: Io): Promise<void> {
  const auth = authOf(options, io);
  const wasSignedIn = auth.status().authMethod !== null;
  await auth.logout();
  io.stderr.write(wasSignedIn ? "Successfully logged out\n" : "Not logged in\n");
}

const authOf = (options: HomeOption, io: Io) => fileAuthManager({ home: homeOf(options, io) });
