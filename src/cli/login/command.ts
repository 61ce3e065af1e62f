/** The commands that say who you are to OpenAI's API: login, login status and logout. */
import { Command, Option } from "commander";
import { optionsOf } from "../global-options.ts";
import type { HomeOption } from "../home-folder.ts";
import type { Io } from "../terminal/io.ts";
import type { LoginOptions } from "./login.ts";

const EXAMPLES = `
The key is stored in auth.json of the home folder, which only you can read. \`skein login status\` exits with 0 when
somebody is signed in, else with 1. Signing in with a browser is not supported.

Examples:
  skein login --with-api-key < key.txt
  printenv OPENAI_API_KEY | skein login --with-api-key
  skein login status`;

export const loginCommand = (io: Io): Command =>
  new Command("login")
    .description("sign in with an API key of OpenAI's")
    .option("--with-api-key", "read the key from standard input")
    .addOption(new Option("--device-auth", "Codex's sign-in with a browser").hideHelp())
    .addOption(new Option("--with-access-token", "Codex's sign-in with a token").hideHelp())
    .addCommand(
      new Command("status").description("say whether somebody is signed in").action(async (_, command: Command) => {
        const { showStatus } = await import("./login.ts");
        await showStatus(optionsOf<HomeOption>(command), io);
      }),
    )
    .addHelpText("after", EXAMPLES)
    .action(async (_, command: Command) => {
      const { logIn } = await import("./login.ts");
      await logIn(optionsOf<LoginOptions>(command), io);
    });

export const logoutCommand = (io: Io): Command =>
  new Command("logout")
    .description("forget the stored credentials")
    .addHelpText("after", "\nExamples:\n  skein logout")
    .action(async (_, command: Command) => {
      const { logOut } = await import("./login.ts");
      await logOut(optionsOf<HomeOption>(command), io);
    });
