/** Recorded sessions of stock Codex 0.171 with reviews, and with a model that it knows, played against our server: see replay.ts. */
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  answer,
  calling,
  failing,
  hanging,
  lastUserText,
  type ModelRequest,
  type ModelScript,
  saying,
  thinking,
} from "./model-plays.ts";
import { ANSWERED, type Place, replay, type Scenario } from "./replay.ts";
import { UNTOLD, withoutUsageAtResume } from "./retellings.ts";
import type { Message } from "./test-client.ts";

/** Of the reviewer's model stock Codex warns as well, and its message is begun here only when it is told. */
function retell(story: readonly Message[]): Message[] {
  const ended = new Set(
    story.flatMap(({ method, params }) => (method === "item/completed" ? [params.item.id as string] : [])),
  );
  const isLone = ({ method, params }: Message) =>
    method === "item/started" && params.item.type === "agentMessage" && !ended.has(params.item.id);
  return withoutUsageAtResume(
    story.filter((message) => {
      const { method = "" } = message;
      return !UNTOLD.has(method) && method !== "warning" && !isLone(message);
    }),
  );
}

async function repository({ cwd }: Place): Promise<void> {
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=A", "-c", "user.email=a@b.c", ...args], { cwd, stdio: "ignore" });
  git("init", "--quiet", "--initial-branch=main");
  for (const [file, message] of [
    ["a.txt", "first commit"],
    ["b.txt", "second commit"],
  ] as const) {
    await writeFile(join(cwd, file), `${message}\n`);
    git("add", "--all");
    git("commit", "--quiet", "--message", message);
  }
}

const DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

type Finding = readonly [title: string, file: string, start: number, end: number];

const cwdOf = ({ body }: ModelRequest): string => /<cwd>([^<]+)<\/cwd>/.exec(JSON.stringify(body.input))?.[1] ?? "";

const reviewing = (request: ModelRequest, ...found: Finding[]): string =>
  JSON.stringify({
    findings: found.map(([title, file, start, end]) => ({
      title,
      body: `body of ${title}`,
      confidence_score: 0.9,
      priority: 1,
      code_location: { absolute_file_path: join(cwdOf(request), file), line_range: { start, end } },
    })),
    overall_correctness: "patch is incorrect",
    overall_explanation: "Two faults.",
    overall_confidence_score: 0.8,
  });

const INLINE: ModelScript = (request) => {
  switch (request.n) {
    case 1:
      return answer(
        saying(reviewing(request, ["[P1] Off by one", "a.txt", 2, 3], ["[P2] Name is vague", "new.txt", 1, 1])),
      );
    case 3:
      return answer(saying("Looks right."));
    case 4:
      return answer(
        thinking("**Look** at it"),
        calling("exec_command", { cmd: "git show --stat HEAD | tail -1" }, { callId: "call_r1" }),
      );
    case 5:
      return answer(saying("Nothing to report in prose."));
    case 6:
      return answer(saying(`Here: ${reviewing(request, ["[P1] Off by one", "a.txt", 1, 1])} That is all.`));
    case 7:
      return answer(thinking("**Only** thinking"));
    default:
      return undefined;
  }
};

const part = (text: string) => hanging(saying(text).slice(0, 2));

/** What a folder is in git is not looked up; cursors are opaque. What the command says is its repository's matter. */
const unseen = (key: string, place: string): boolean =>
  ["aggregatedOutput", "gitInfo"].includes(key) ||
  (/thread\/list\.result/.test(place) && ["forkedFromId", "backwardsCursor"].includes(key));

const SCENARIOS: Scenario[] = [
  {
    name: "0.171-review-inline",
    prepare: repository,
    model: INLINE,
    // A review is read as one turn.
    others: Object.fromEntries(["0:11", "0:12", "0:14", "0:15", "1:2"].map((id) => [id, ANSWERED])),
  },
  {
    name: "0.171-review-bad",
    prepare: repository,
    model: [
      undefined,
      answer(saying("ok")),
      { status: 500, body: { error: { message: "boom" } } },
      failing("context_length_exceeded", "too long"),
      undefined,
      answer(saying("ok")),
    ],
    // Outside of a repository, as the folder was until then, the turn of a review fails, and is there to be read.
    left: ["0:17"],
    others: {
      "0:5": 'Invalid request: invalid type: string "uncommittedChanges", expected a map',
      "0:18": ANSWERED,
    },
  },
  {
    name: "0.171-review-interrupt",
    // A review that is replaced may not have asked yet.
    model: ({ body }) => {
      const asked = lastUserText(body);
      if (asked === "long turn") return part("plain turn");
      return /spelling|replaces|not committed/.test(asked) ? part("a review") : undefined;
    },
    // The one id of a review is that of its answer: whoever names it means the turn that runs.
    left: ["0:6", "0:8", "0:10"],
    others: { "0:19": ANSWERED },
  },
  {
    name: "0.171-known-model",
    settings: { model: "gpt-6.2-sol" },
    prepare: async (place) => {
      await repository(place);
      await writeFile(join(place.cwd, "ok.png"), Buffer.from(DOT, "base64"));
    },
    model: (request) => {
      const plan = { plan: [{ step: "one", status: "in_progress" }] };
      switch (request.n) {
        case 1:
          return answer(thinking("**Do** it"), calling("exec_command", { cmd: "echo known" }, { callId: "call_x" }));
        case 2:
          return answer(calling("update_plan", plan, { callId: "call_u" }));
        case 3:
          return answer(saying("ran"));
        case 4:
          return answer(saying("Before\n<proposed_plan>\n1. a\n</proposed_plan>\n"));
        case 5:
          return answer(calling("update_plan", plan, { callId: "call_v" }));
        case 6:
          return answer(saying("no"));
        case 7:
          return answer(saying(reviewing(request, ["[P1] Off by one", "a.txt", 1, 2])));
        default:
          return undefined;
      }
    },
    // In the default mode update_plan works here.
    retell: (story) => retell(story).filter(({ method }) => method !== "turn/plan/updated"),
    others: { "0:9": ANSWERED },
  },
];

for (const scenario of SCENARIOS) {
  test(`as stock Codex does: ${scenario.name}`, { timeout: 90_000 }, (t) => replay(t, { retell, unseen, ...scenario }));
}
