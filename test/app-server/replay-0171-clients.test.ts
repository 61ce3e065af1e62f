/** Recorded sessions of stock Codex 0.171 with several clients, agents, signals and file searches: see replay.ts. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { answer, calling, hanging, lastUserText, type Play, saying } from "./model-plays.ts";
import { replay, type Scenario } from "./replay.ts";
import { UNTOLD, withoutArrivals, withoutUsageAtResume } from "./retellings.ts";
import type { Json, Message } from "./test-client.ts";

const retell = (story: readonly Message[]): Message[] =>
  withoutUsageAtResume(story.filter(({ method = "" }) => !UNTOLD.has(method)));

const USAGE = new Set(["thread/tokenUsage/updated", "account/rateLimits/updated"]);

/** Told by us less or more often on purpose. */
const AGENTS_UNTOLD = new Set([...USAGE, "warning"]);
const MULTI_AGENT = "multi_agent_v1";
const TASKS = ["interrupt", "archive", "delete"];
let spawns = 0;
const spawning = (task: string) =>
  calling("spawn_agent", { message: `CHILD TASK ${task}` }, { callId: "call_sp", namespace: MULTI_AGENT });
const never = hanging(saying("never finished").slice(0, 3));

/** The id of the agent that the last call has started. */
const spawned = (body: Json): string => JSON.parse(body.input.at(-1).output).agent_id;

const ticking = { cmd: "for i in 1 2 3 4 5 6; do echo tick $i; sleep 0.5; done", yield_time_ms: 8_000 };
const ATTACH: Readonly<Record<string, Play>> = {
  run: answer(calling("exec_command", ticking, { callId: "call_a" })),
  "from b": hanging(saying("stream to two").slice(0, 3)),
  hang: hanging([]),
  "needs approval": answer(calling("exec_command", { cmd: "touch attach.txt" }, { callId: "call_ap" })),
  "then leave": {
    ...answer(saying("owner gone").slice(0, 2), saying("finished alone")),
    pause: { after: 3, ms: 1_500 },
  },
};

const SCENARIOS: Scenario[] = [
  {
    name: "0.171-attach",
    // Whether an answer's headers have come when its turn is interrupted is a race.
    retell: (story) => retell(story).filter(({ method = "" }) => !USAGE.has(method)),
    model: ({ body }) => {
      const last = JSON.stringify(body.input.at(-1));
      if (last.includes('"call_a"')) return answer(saying("command over"));
      if (last.includes('"call_ap"')) return answer(saying("approved"));
      return ATTACH[lastUserText(body)];
    },
  },
  { name: "0.171-sigterm", model: [undefined, never, undefined, undefined, never] },
  {
    name: "0.171-fuzzy",
    // Of a query that the next one overtakes nothing need be told.
    retell: (story) =>
      story.filter(
        ({ method, params }) => method?.endsWith("sessionCompleted") !== true && !["", "a"].includes(params.query),
      ),
    prepare: async ({ cwd, userHome }) => {
      const files = ["alpha.txt", "src/alphabet.ts", "src/deep/beta_alpha.rs", "README.md"];
      for (const file of files) {
        await mkdir(dirname(join(cwd, file)), { recursive: true });
        await writeFile(join(cwd, file), "");
      }
      await mkdir(join(userHome, "proj"));
    },
  },
  {
    name: "0.171-skills-agents",
    // A skill that config.toml has taken out is injected no more; loaded threads of stock Codex still get it.
    left: ["0:18"],
    unseen: (key, place) => place.endsWith("tokenUsage") && key === "total",
    // Stock Codex installs skills of its own, which the recording lacks. Files are not watched here: a list looks.
    retell: (story) => retell(story).filter(({ method = "" }) => !["configWarning", "skills/changed"].includes(method)),
    prepare: async ({ home, cwd, userHome }) => {
      await mkdir(join(cwd, ".git"));
      await writeFile(join(cwd, ".git/HEAD"), "ref: refs/heads/main\n");
      await mkdir(join(cwd, "pkg/inner"), { recursive: true });
      for (const [file, name, description] of [
        [join(cwd, ".agents/skills/alpha"), "alpha", "does alpha"],
        [join(cwd, ".agents/skills/dup"), "delta", "duplicate name"],
        [join(cwd, ".codex/skills/dotcodex"), "dotcodex", "in .codex"],
        [join(cwd, "pkg/.agents/skills/beta"), "beta", "does beta"],
        [join(cwd, "extra/skills/ex"), "ex", "extra root"],
        [join(home, "skills/delta"), "delta", "codex home skill"],
        [join(userHome, ".agents/skills/gamma"), "gamma", "home skill"],
      ] as const) {
        await mkdir(file, { recursive: true });
        const text = `---\nname: ${name}\ndescription: ${description}\n---\n\nBody of ${name === "gamma" ? "home skill" : name}.\n`;
        await writeFile(join(file, "SKILL.md"), text);
      }
      await mkdir(join(cwd, ".agents/skills/alpha/agents"));
      const shown = "interface:\n  display_name: Shown\n  short_description: short\n";
      await writeFile(join(cwd, ".agents/skills/alpha/agents/openai.yaml"), shown);
      await mkdir(join(cwd, ".agents/skills/broken"));
      await writeFile(join(cwd, ".agents/skills/broken/SKILL.md"), "no front matter\n");
    },
  },
  {
    name: "0.171-agents-parent",
    unseen: (key, place) =>
      ["agentNickname", "agent_nickname"].includes(key) ||
      (/thread\/(list|read|resume|fork|unarchive)\.result/.test(place) &&
        ["model", "backwardsCursor", "sessionId", "canAcceptDirectInput", "forkedFromId"].includes(key)),
    // An item that has begun ends here, and stays open in stock Codex where its turn is interrupted.
    retell: (story) =>
      withoutArrivals(
        retell(story).filter(
          ({ method = "", params }) =>
            !AGENTS_UNTOLD.has(method) && !(method === "item/completed" && params.item.id === "call_wt"),
        ),
      ),
    model: ({ body }) => {
      const text = JSON.stringify(body.input);
      const task = /CHILD TASK (\w+)/.exec(text)?.[1];
      if (!text.includes("PARENT TASK"))
        return task === "archive"
          ? { ...answer(saying("child is done")), pause: { after: 1, ms: 300 } }
          : hanging(saying("child working").slice(0, 3));
      if (task === undefined) return answer(spawning(TASKS[spawns++] ?? ""));
      if (task !== "interrupt") return answer(saying("parent done"));
      return answer(calling("wait_agent", { targets: [spawned(body)] }, { callId: "call_wt", namespace: MULTI_AGENT }));
    },
  },
];

for (const scenario of SCENARIOS) {
  test(`as stock Codex does: ${scenario.name}`, { timeout: 60_000 }, (t) => replay(t, { retell, ...scenario }));
}
