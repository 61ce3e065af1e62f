import { Command, Option } from "commander";
import { BUILT_IN_TOOL_NAMES } from "../../protocol/built-in-tool-names.ts";
import { loseUnread } from "../asked-end.ts";
import { UsageError } from "../failure.ts";
import { optionsOf } from "../global-options.ts";
import {
  configSwitches,
  logLevelOption,
  profileOption,
  type SessionOptions,
  settingsOfOptions,
  workFolder,
} from "../session-options.ts";
import { type LogLevel, stderrLog } from "../stderr-log.ts";
import type { Io } from "../terminal/io.ts";

const EXAMPLES = `
Speaks the JSON-RPC protocol of Codex's app-server, v2 as of 0.169 and v1 as of 0.87: see PROTOCOL.md. Settings come from
config.toml in the home folder, and each request may give its own.

Off loopback a token is needed; clients send it as a bearer token.

A first Ctrl-C or SIGTERM lets the turns that run come to their end, a second one interrupts them; over standard input and
output they are interrupted at once, and so they are by a hangup. What was said is stored either way.

Examples:
  skein app-server                                       one client over standard input and output
  skein app-server --listen ws://127.0.0.1:4500          then: codex --remote ws://127.0.0.1:4500
  skein app-server --listen unix:///tmp/skein.sock
  skein app-server --listen unix://                      then, with CODEX_HOME naming the home: codex --remote unix://
  skein app-server --store postgres://skein@db/skein     threads in PostgreSQL, for any number of servers
  skein app-server --cluster http://restate:8080 --store postgres://skein@db/skein
                                                         threads that a cluster's workers run: docs/cluster.md
  skein app-server --listen ws://0.0.0.0:4500 --ws-auth capability-token --ws-token-file token.txt`;

type Options = SessionOptions & {
  readonly listen: string;
  readonly stdio?: boolean;
  readonly cluster?: string;
  readonly newFiles?: "at-start" | "with-first-line";
  readonly logLevel: LogLevel;
  readonly wsAuth?: string;
  readonly wsTokenFile?: string;
  readonly wsTokenSha256?: string;
};

export const appServerCommand = (io: Io): Command =>
  new Command("app-server")
    .description("serve Codex clients: editors, the TUI, your own")
    .option("--listen <url>", "stdio://, ws://IP:PORT, unix://PATH, or unix:// for the home's own socket", "stdio://")
    .option("--cluster <url>", "the ingress of a cluster that runs the threads; --store names its database")
    .addOption(
      new Option(
        "--new-files <when>",
        "when a new thread's file is made: a start that waits for none is faster, and a crash loses threads that said nothing",
      ).choices(["at-start", "with-first-line"]),
    )
    .option("--ws-auth <kind>", "capability-token: a bearer token lets clients in")
    .option("--ws-token-file <file>", "the file that holds the token")
    .option("--ws-token-sha256 <hex>", "or the token's SHA-256")
    .addOption(
      new Option(
        "--tools <name...>",
        "tools that agents get; unless some are named, all but collab, and shell, which unified_exec stands in for",
      ).choices(BUILT_IN_TOOL_NAMES),
    )
    .option("--stdio", "the same as --listen stdio://")
    .addOption(profileOption())
    .option("-m, --model <model>", "the model of threads that name none")
    .addOption(new Option("--analytics-default-enabled", "taken for Codex's sake: nothing is reported").hideHelp())
    .addOption(new Option("--session-source <name>", "taken for Codex's sake").hideHelp())
    .addOption(logLevelOption())
    .addHelpText("after", EXAMPLES)
    .action(async (_, command: Command) => {
      const options = optionsOf<Options>(command);
      const [
        { runAppServer },
        { LAST_ANSWERS_MS },
        { ChosenStore, storeUrlOf },
        { homeOf },
        { listenUrlOf },
        { ServerSignals },
      ] = await Promise.all([
        import("../../app-server/serve.ts"),
        import("../../app-server/connection.ts"),
        import("../database.ts"),
        import("../home-folder.ts"),
        import("./listen-url.ts"),
        import("./signals.ts"),
      ]);
      const { cluster } = options;
      if (cluster !== undefined && !/^https?:\/\/./.test(cluster))
        throw new UsageError("--cluster takes http://HOST:PORT");
      if (cluster !== undefined && storeUrlOf(options, io) === undefined)
        throw new UsageError("--cluster needs the database that its workers share: --store postgres://...");
      using signals = new ServerSignals();
      await using chosen = await ChosenStore.of(options, io);
      const home = homeOf(options, io);
      await runAppServer({
        ...options,
        listen: options.stdio === true ? "stdio://" : listenUrlOf(options.listen, { home, cwd: io.cwd() }),
        config: settingsOfOptions(options),
        home,
        unknownSettings: configSwitches(options).unknownSettings,
        store: chosen.options.store,
        env: io.env,
        cwd: workFolder(options, io),
        logger: stderrLog(options.logLevel, io.stderr),
        signal: signals.insisted,
        drain: signals.asked,
        onListening: (url) => io.stderr.write(`listening on ${url}\n`),
      });
      loseUnread(io, LAST_ANSWERS_MS);
    });
