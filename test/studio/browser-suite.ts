/**
 * The studio in a real Chromium: every action is done by clicking or by a key, and what the page shows is what the manager
 * knows. Run by `npm run test:studio`. Pictures are kept in .cache/studio.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, suite, test } from "node:test";
import type { Browser, Locator, Page } from "playwright-core";
import { createAppServer } from "../../src/app-server/app-server.ts";
import type { ThreadManager } from "../../src/manager/thread-manager.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { bridgeStudio } from "../../src/studio/bridge.ts";
import { createStudio } from "../../src/studio/index.ts";
import type { Thread } from "../../src/thread/thread.ts";
import { ended, printed, start } from "../cli/skein.ts";
import { chromiumPath, DEADLINE_MS, launch, longestTaskMs, openPage, shoot, stoppedLine } from "./browser.ts";
import { HOSTILE, managerOf, populate, type World, world } from "./world.ts";

const executablePath = chromiumPath();
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const row = (page: Page, id: string) => page.locator(`.row[data-thread="${id}"]`);
const choose = async (page: Page, id: string) => {
  // A list that has just moved may take the click for another.
  await eventually("it is selected", async () => {
    await row(page, id).click();
    return (await page.evaluate<string>("location.hash")) === `#/thread/${id}`;
  });
  await page.locator(".head").waitFor();
};
const button = (page: Page, name: string | RegExp) => page.getByRole("button", { name });
const statusOf = (page: Page, id: string) =>
  row(page, id)
    .locator(".mark")
    .first()
    .getAttribute("aria-label")
    .catch(() => "");

/** Until the page, or the manager, is as it should be. */
async function eventually(what: string, isSo: () => unknown): Promise<void> {
  for (const since = performance.now(); performance.now() - since < DEADLINE_MS; ) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`never came true: ${what}`);
}

/** Does it again until it has been taken: what has just come or moved takes no answer. */
const insist = (what: string, act: () => Promise<unknown>, isSo: () => unknown): Promise<void> =>
  eventually(what, async () => {
    if (await isSo()) return true;
    await act().catch(() => undefined);
    return isSo();
  });
const press = (button: Locator) => () => button.click({ timeout: 1_000 });

const threadsOf = async (manager: ThreadManager) =>
  (await manager.listThreads({ limit: 100, sourceKinds: ["cli", "vscode", "exec", "mcp", "unknown", "subagent"] }))
    .threads;

suite("the studio in a browser", { skip: executablePath === undefined ? "there is no Chromium here" : false }, () => {
  let browser: Browser;
  let scene: World;
  let ids: Awaited<ReturnType<typeof populate>>;

  before(async () => {
    browser = await launch(executablePath ?? "");
    scene = await world();
    ids = await populate(scene.manager);
  });
  after(async () => {
    await browser?.close();
    await scene?.[Symbol.asyncDispose]();
  });

  const open = async (t: Parameters<typeof openPage>[0], options: Parameters<typeof openPage>[2] = {}) => {
    const opened = await openPage(t, browser, options);
    await opened.page.goto(scene.studio.invite());
    await row(opened.page, ids.lead).waitFor();
    return opened;
  };

  test("the forest, the inbox, one conversation, the machine and the events are there, in both schemes", async (t) => {
    for (const colorScheme of ["light", "dark"] as const) {
      const { page, problems, requests } = await open(t, { colorScheme });
      assert.ok(!page.url().includes("token"), "the address keeps no token");
      await choose(page, ids.asking);
      await page.locator(".talk .question").waitFor();
      assert.equal(await statusOf(page, ids.asking), "waits for you");
      assert.match((await row(page, ids.asking).textContent()) ?? "", /Dirac.*explorer/);
      assert.ok((await page.locator(".inbox .question").count()) >= 2);
      await page.locator('.machine .state.lit[data-state="runningTools.awaitingApproval"]').waitFor();
      await page.locator(".events .line").first().waitFor();
      await page.locator(".plot canvas").first().waitFor();
      await shoot(page, `asking-${colorScheme}`);
      await choose(page, ids.lead);
      await page.locator(".turn").nth(2).waitFor();
      await shoot(page, `lead-${colorScheme}`);
      assert.deepEqual(problems, []);
      const { origin } = new URL(scene.studio.url);
      assert.deepEqual(
        requests.filter((url) => !url.startsWith(origin) && !url.startsWith(origin.replace("http", "ws"))),
        [],
      );
    }
  });

  test("whatever is said stays text", async (t) => {
    const { page, problems } = await open(t);
    await choose(page, ids.lead);
    const said = page.locator(".answer", { hasText: "onerror" });
    await said.waitFor();
    const shown = (await said.textContent()) ?? "";
    assert.ok(shown.includes(HOSTILE.split("\n")[0] ?? ""), shown);
    assert.match(shown, /safe⟨U\+202E⟩gnp\.exe/);
    assert.equal(await page.locator(".thread img, .thread script, .thread a, .thread iframe").count(), 0);
    assert.equal(await page.title(), "skein studio");
    const { manager } = scene;
    const { thread } = await manager.startThread();
    await manager.store.rename(thread.id, HOSTILE);
    await thread.run("long");
    void thread.run(`run touch '${HOSTILE.replaceAll("'", "")}'`).catch(() => undefined);
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    await page.locator(".talk .question").waitFor();
    await page.getByRole("button", { name: "show more of 1.0 MB" }).click();
    await eventually(
      "more is shown",
      async () => ((await page.locator(".answer").first().textContent()) ?? "").length >= 200_000,
    );
    assert.match((await page.locator(".talk .question .asked").textContent()) ?? "", /<script>.*⟨U\+202E⟩/s);
    assert.equal(await page.locator("main img, main script, main iframe").count(), 0);
    assert.equal(await page.title(), "skein studio");
    await shoot(page, "hostile");
    await thread.interrupt();
    assert.deepEqual(problems, []);
  });

  test("questions are answered by a click, and by a key; in one tab for both", async (t) => {
    const { page } = await open(t);
    const { page: other } = await open(t);
    const { manager } = scene;
    const asks = async (text: string): Promise<ThreadId> => {
      const { thread } = await manager.startThread();
      void thread.run(text).catch(() => undefined);
      await eventually("it asks", () => thread.pendingApprovals.length > 0);
      return thread.id;
    };
    const done = (id: ThreadId) =>
      eventually("its turn ends", () => manager.loadedThread(id)?.activeTurn === undefined);
    const card = (on: Page, id: string) => on.locator(`.inbox .question`, { hasText: id });
    const first = await asks("run touch first-one");
    await card(other, "first-one").waitFor();
    const isAnswered = (id: ThreadId) => () => manager.loadedThread(id)?.pendingApprovals.length === 0;
    const yes = card(page, "first-one").getByRole("button", { name: "Allow once" });
    await insist("it is answered by a click", press(yes), isAnswered(first));
    await done(first);
    await card(other, "first-one").waitFor({ state: "detached" });
    const second = await asks("run touch second-one");
    await row(page, second).waitFor();
    await choose(page, second);
    await page.locator(".talk .question").waitFor();
    await page.locator(".rows").focus();
    await insist("it is answered by a key", () => page.keyboard.press("n"), isAnswered(second));
    await done(second);
    await page.locator(".turn .tool", { hasText: "declined" }).first().waitFor();
    const third = await asks("patch third.txt");
    await row(page, third).waitFor();
    await choose(page, third);
    await page.locator(".talk .question .diff .added").first().waitFor();
    const forSession = page.locator(".talk .question").getByRole("button", { name: "For session" });
    await insist("it is answered for the session", press(forSession), isAnswered(third));
    await done(third);
    await button(page, "Files").click();
    await page.locator(".tool", { hasText: "third.txt" }).waitFor();
    await button(page, "Conversation").click();
  });

  test("a message is sent, a running turn steered and interrupted", async (t) => {
    const { page } = await open(t);
    const { manager } = scene;
    await button(page, "New thread").click();
    await page.locator("#say").waitFor();
    await page.locator("#say").fill("What is in here?");
    await page.keyboard.press("Enter");
    await page.locator(".answer", { hasText: "You said: What is in here?" }).waitFor();
    const id = new URL(page.url()).hash.split("/").at(-1) as ThreadId;
    await eventually("the turn ends", () => manager.loadedThread(id)?.activeTurn === undefined);
    await page.locator("#say").fill("slow");
    await button(page, "Send").click();
    await button(page, "Steer").waitFor();
    await page.locator(".answer", { hasText: "word after word" }).waitFor();
    await page.locator("#say").fill("Be quick");
    await button(page, "Steer").click();
    await page.locator(".said", { hasText: "Be quick" }).waitFor();
    await eventually("the turn ends", () => manager.loadedThread(id)?.activeTurn === undefined);
    await page.locator("#say").fill("hang");
    await button(page, "Send").click();
    await page.locator(".answer", { hasText: "This takes a while" }).waitFor();
    await button(page, /^Interrupt/)
      .first()
      .click();
    await page.locator(".turn.interrupted").waitFor();
    assert.equal(manager.loadedThread(id)?.activeTurn, undefined);
  });

  test("forks: here, before and after any turn, side by side with the source; rolled back", async (t) => {
    const { page } = await open(t);
    const { manager } = scene;
    const { thread } = await manager.startThread();
    for (const text of ["one", "two", "three"]) await thread.run(text);
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    await page.locator(".turn").nth(2).waitFor();
    const turns = page.locator(".turn");
    const forked = async (click: () => Promise<void>, kept: number): Promise<string> => {
      const before = page.url();
      await click();
      await eventually("the fork is chosen", () => page.url() !== before);
      await eventually(`${kept} turns`, async () => (await turns.count()) === kept);
      const id = new URL(page.url()).hash.split("/").at(-1) ?? "";
      assert.equal(await row(page, id).locator(".mark.fork").count(), 1);
      return id;
    };
    const inner = await forked(() => turns.nth(0).getByRole("button", { name: "fork after" }).click(), 1);
    await page.locator("#say").fill("another way");
    await page.keyboard.press("Enter");
    await page.locator(".answer", { hasText: "another way" }).waitFor();
    await button(page, "Compare").click();
    await page.locator(".side-by", { hasText: "another way" }).waitFor();
    await page.locator(".side-by", { hasText: "You said: two" }).waitFor();
    assert.match((await page.locator(".compare .rule").textContent()) ?? "", /1 turn is shared/);
    await shoot(page, "compare");
    await button(page, "Conversation").click();
    await choose(page, thread.id);
    await eventually("three turns", async () => (await turns.count()) === 3);
    await forked(() => turns.nth(2).getByRole("button", { name: "fork before" }).click(), 2);
    await choose(page, thread.id);
    await eventually("three turns", async () => (await turns.count()) === 3);
    await forked(() => button(page, /^Fork here/).click(), 3);
    assert.deepEqual([...(await manager.descendants(thread.id))].length, 3);
    await choose(page, thread.id);
    await eventually("three turns", async () => (await turns.count()) === 3);
    await turns.nth(1).getByRole("button", { name: "roll back" }).click();
    await page.locator("dialog").getByRole("button", { name: "Roll back" }).click();
    await eventually("one turn is left", async () => (await turns.count()) === 1);
    assert.ok(inner !== "");
  });

  test("compact, rename, save, archive and delete, from the menu", async (t) => {
    const { page } = await open(t);
    const { manager } = scene;
    const { thread } = await manager.startThread();
    await thread.run("something to sum up");
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    const menu = async (name: string) => {
      await page.locator(".menu > summary").click();
      await page.locator(".menu .list").getByRole("button", { name }).click();
    };
    await menu("Compact");
    await page.locator(".turn .rule", { hasText: "summed up" }).waitFor();
    await eventually("it is over", () => manager.loadedThread(thread.id)?.activeTurn === undefined);
    await menu("Rename");
    await page.locator("dialog input").fill("A better name");
    await page.keyboard.press("Enter");
    await page.locator("h1", { hasText: "A better name" }).waitFor();
    const download = page.waitForEvent("download");
    await menu("Save as JSONL");
    const saved = await readFile(await (await download).path(), "utf8");
    assert.match(saved, /^\{.*"session_meta"/);
    await menu("Archive");
    await row(page, thread.id).waitFor({ state: "detached" });
    await button(page, "archived").click();
    await choose(page, thread.id);
    await menu("Unarchive");
    await eventually("it is back", async () => !(await manager.store.get(thread.id)).archived);
    await button(page, "archived").click();
    await choose(page, thread.id);
    await menu("Delete");
    await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
    await row(page, thread.id).waitFor({ state: "detached" });
    assert.ok(!(await threadsOf(manager)).some(({ threadId }) => threadId === thread.id));
  });

  test("a whole tree is interrupted, after a question with a count", async (t) => {
    const { page } = await open(t);
    const { manager } = scene;
    const { thread } = await manager.startThread();
    const agents = manager.agentControl();
    const busy = await Promise.all(
      ["hang", "hang"].map((text) => agents.spawnAgent(undefined, text, { parentThreadId: thread.id })),
    );
    await row(page, busy[1] ?? "").waitFor();
    await choose(page, thread.id);
    await eventually(
      "both run",
      async () =>
        (await statusOf(page, busy[0] ?? "")) === "active" && (await statusOf(page, busy[1] ?? "")) === "active",
    );
    await page.locator(".rows").focus();
    await page.keyboard.press("Shift+I");
    await page.locator("dialog", { hasText: "Interrupt 2 of 3 threads?" }).waitFor();
    await page.locator("dialog").getByRole("button", { name: "Interrupt" }).click();
    await eventually("nothing runs", () => busy.every((id) => manager.loadedThread(id)?.activeTurn === undefined));
  });

  test("by keys alone: moving, folding, finding, waiting, pausing, views", async (t) => {
    const { page } = await open(t);
    await page.locator(".rows").focus();
    await page.keyboard.press("j");
    const first = await page.locator('.row[aria-selected="true"]').getAttribute("data-thread");
    await page.keyboard.press("j");
    const second = await page.locator('.row[aria-selected="true"]').getAttribute("data-thread");
    assert.notEqual(first, second);
    await page.keyboard.press("k");
    assert.equal(await page.locator('.row[aria-selected="true"]').getAttribute("data-thread"), first);
    await page.keyboard.press("/");
    await page.keyboard.type("reviewer");
    await eventually("only what fits", async () => (await page.locator(".row").count()) === 2);
    assert.ok((await row(page, ids.lead).getAttribute("class"))?.includes("passing"));
    await page.keyboard.press("Escape");
    await eventually("all again", async () => (await page.locator(".row").count()) > 5);
    await choose(page, ids.lead);
    await page.locator(".rows").focus();
    await page.keyboard.press("ArrowLeft");
    await row(page, ids.asking).waitFor({ state: "detached" });
    assert.equal(await row(page, ids.lead).getAttribute("aria-expanded"), "false");
    await page.keyboard.press("ArrowRight");
    await row(page, ids.asking).waitFor();
    await page.keyboard.press("w");
    await eventually(
      "one that waits",
      async () => (await page.locator('.row[aria-selected="true"] .mark.waiting').count()) === 1,
    );
    await page.keyboard.press("e");
    await eventually(
      "one that failed",
      async () => (await page.locator('.row[aria-selected="true"] .mark.failed').count()) === 1,
    );
    await page.keyboard.press("p");
    await button(page, /^Paused/).waitFor();
    const { thread } = await scene.manager.startThread();
    await thread.run("while paused");
    await eventually("changes are counted", async () =>
      /[1-9]\d* since/.test((await button(page, /^Paused/).textContent()) ?? ""),
    );
    assert.equal(await row(page, thread.id).count(), 0);
    await page.keyboard.press("p");
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    await page.locator(".rows").focus();
    await page.keyboard.press("g");
    await page.keyboard.press("t");
    await page.locator(".timeline .lanes canvas").waitFor();
    await eventually("there is a lane", async () =>
      /^1 lane/.test((await page.locator(".timeline .bar").textContent()) ?? ""),
    );
    const strip = await page.locator(".overview").boundingBox();
    if (strip !== null) {
      await page.mouse.move(strip.x + 300, strip.y + 10);
      await page.mouse.down();
      await page.mouse.move(strip.x + 500, strip.y + 10);
      await page.mouse.up();
    }
    const shown = (await page.locator(".timeline .bar").textContent()) ?? "";
    const [, part, whole] = /· (.+?) of (.+? (?:ms|s|min))/.exec(shown) ?? [];
    assert.notEqual(part, whole, `the brush zooms: ${shown}`);
    await shoot(page, "timeline");
    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await page.locator(".talk").waitFor();
    await page.keyboard.press("?");
    const keys = page.locator("dialog", { hasText: "Keys" });
    await keys.waitFor();
    await page.keyboard.press("Escape");
    await keys.waitFor({ state: "detached" });
  });

  test("what was before somebody looked, turn by turn and on the clock; how a thread stands; and what it costs", async (t) => {
    const own = await world();
    t.after(() => own[Symbol.asyncDispose]());
    const { thread } = await own.manager.startThread();
    for (const text of ["one", "two", "three"]) await thread.run(text);
    const { page, problems } = await openPage(t, browser);
    await page.goto(own.studio.invite());
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    // 1,200 in of which 800 cached, 90 out, three times.
    await page.locator(".facts", { hasText: "costs 0.0058" }).waitFor();
    await button(page, "Figures").click();
    await page.locator(".turns tbody tr").nth(2).waitFor();
    const cells = await page.locator(".turns tbody tr").first().locator("th,td").allTextContents();
    assert.deepEqual(
      [cells[0], cells[1], cells[5], cells[6], cells[7], cells[8]],
      ["3", "completed", "1", "400", "800", "90"],
    );
    await page.locator(".by-turn canvas").nth(1).waitFor();
    await shoot(page, "figures");
    await button(page, "Timeline").click();
    await eventually("there is a lane of what was before", async () =>
      /^1 lane/.test((await page.locator(".timeline .bar").textContent()) ?? ""),
    );
    await button(page, "supervision").click();
    await page.locator(".standing", { hasText: "3 of 3 left" }).waitFor();
    const stands = (await page.locator(".standing").textContent()) ?? "";
    assert.match(stands, new RegExp(`epoch 1 for .* held here · by pid ${process.pid}`));
    assert.match(stands, /rollout-.*\.jsonl.*line \d+/);
    await shoot(page, "supervision");
    assert.deepEqual(problems, []);
  });

  test("a turn, an item and an event have addresses that lead back to them, without a token", async (t) => {
    const { page } = await open(t);
    const { thread } = await scene.manager.startThread();
    for (const text of ["one", "two", "three"]) await thread.run(text);
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    await page.locator(".turn").nth(2).waitFor();
    const places: string[] = [];
    const take = async (click: () => Promise<void>) => {
      await click();
      places.push(page.url());
    };
    await take(() => page.locator(".turn").nth(0).locator("header .link-to").click());
    const item = page.locator(".turn").nth(1).locator(".item").last();
    await item.hover();
    await take(() => item.locator(".link-to").click());
    await page.locator(".events .line summary").last().click();
    await take(() => page.locator(".events .line[open] .link-to").click());
    assert.match(places[0] ?? "", /\/turn\/[^/]+$/);
    assert.match(places[1] ?? "", /\/turn\/[^/]+\/item\/[^/]+$/);
    assert.match(places[2] ?? "", /\/event\/\d+$/);
    for (const [at, selector] of [".turn.pointed", ".item.pointed", ".line.pointed[open]"].entries()) {
      await choose(page, ids.lead);
      await page.goto(places[at] ?? "");
      await page.locator(selector).waitFor();
      assert.ok(!page.url().includes("token"));
      assert.equal(await page.locator('.row[aria-selected="true"]').getAttribute("data-thread"), thread.id);
    }
    // A tab without a session keeps the place for the invitation that it is given.
    const { page: other } = await openPage(t, browser);
    await other.goto(places[0] ?? "");
    await other.getByText("not known to the server").waitFor();
    await other.goto(scene.studio.invite());
    await other.reload();
    await other.locator(".turn.pointed").waitFor();
  });

  test("tokens that were cached stand apart, a turn's requests are shaded, and forks hang by hairlines", async (t) => {
    const own = await world();
    t.after(() => own[Symbol.asyncDispose]());
    const { thread } = await own.manager.startThread();
    await thread.run("one");
    const { page, problems } = await openPage(t, browser);
    await page.goto(own.studio.invite());
    await row(page, thread.id).waitFor();
    await thread.run("two");
    const agents = own.manager.agentControl();
    const agent = await agents.spawnAgent(undefined, "go", { parentThreadId: thread.id, agent: { nickname: "Ada" } });
    await agents.waitFor([agent]);
    const { thread: fork } = await own.manager.forkThread({ from: thread.id, at: "full" });
    await fork.run("three");
    await row(page, fork.id).waitFor();
    await choose(page, thread.id);
    // Each turn: 1,200 in, of which 800 were cached, and 90 out.
    await page.locator(".facts .used", { hasText: "800 fresh + 1.6k cached in · 180 out" }).first().waitFor();
    await page.locator(".facts .together", { hasText: "with 1 under it: 1.2k fresh + 2.4k cached in" }).waitFor();
    assert.equal(await row(page, thread.id).locator(".tokens").textContent(), "980+1.6k");
    const hairs = (id: string, kind: string) => row(page, id).locator(`.guides path.${kind}`).count();
    assert.deepEqual([await hairs(agent, "agent"), await hairs(agent, "fork")], [1, 0]);
    assert.deepEqual([await hairs(fork.id, "agent"), await hairs(fork.id, "fork")], [0, 1]);
    for (const at of [0, 1]) {
      const turn = page.locator(".turn").nth(at);
      await turn.getByRole("button", { name: "times" }).click();
      await turn.locator(".flame .bar.model .shade").waitFor();
      assert.match((await turn.locator(".flame").textContent()) ?? "", /model .* 490 tokens/);
    }
    await button(page, "Timeline").click();
    await eventually("the fork has a lane", async () =>
      /^3 lanes/.test((await page.locator(".timeline .bar").textContent()) ?? ""),
    );
    await shoot(page, "hairlines");
    assert.deepEqual(problems, []);
  });

  test("one answer for many takes what has been read alone: the same words, standing still", async (t) => {
    const own = await world();
    t.after(() => own[Symbol.asyncDispose]());
    const { thread } = await own.manager.startThread();
    const agents = own.manager.agentControl();
    const ask = async (text: string) => {
      const id = (await agents.spawnAgent(undefined, text, { parentThreadId: thread.id })) as ThreadId;
      await eventually("it asks", () => (own.manager.loadedThread(id)?.pendingApprovals.length ?? 0) > 0);
      return id;
    };
    const { page, problems } = await openPage(t, browser);
    await page.goto(own.studio.invite());
    await row(page, thread.id).waitFor();
    await ask("run touch same");
    await ask("run touch\u00a0same");
    await page.locator(".inbox .question", { hasText: "touch⟨U+00A0⟩same" }).waitFor();
    assert.equal(await page.locator(".inbox .group").count(), 0, "what is not the same is not answered together");
    await ask("run touch same");
    const group = page.locator(".inbox .group");
    await group.locator("summary").click();
    const yes = group.getByRole("button", { name: "Allow these 2 once" });
    await yes.scrollIntoViewIfNeeded();
    // One that joins in the moment of the click has not been read.
    await page.evaluate(`new MutationObserver((_, observer) => {
      const all = [...document.querySelectorAll(".inbox .group button")];
      const found = all.find(({ textContent }) => textContent.trim() === "Allow these 3 once");
      if (found === undefined) return;
      observer.disconnect();
      found.click();
    }).observe(document.body, { subtree: true, childList: true, characterData: true })`);
    await ask("run touch same");
    await page.locator(".notes", { hasText: "just come or moved" }).waitFor();
    assert.equal(await page.locator(".inbox .question").count(), 4);
    const all = press(group.getByRole("button", { name: "Allow these 3 once" }));
    await insist("one is left", all, async () => (await page.locator(".inbox .question").count()) === 1);
    await page.locator(".inbox .unseen", { hasText: "1 question waits for you" }).waitFor();
    const long = `run echo a${"\n".repeat(400)}rm -rf /tmp/nothing-here`;
    await ask(long);
    await page.locator(".inbox .length", { hasText: "401 lines" }).waitFor();
    assert.deepEqual(problems, []);
  });

  test("no address breaks the page, and what is gone is not selected any more", async (t) => {
    const { page, problems } = await open(t);
    const { manager } = scene;
    const { thread } = await manager.startThread();
    await thread.run("soon gone");
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    const place = page.url();
    for (const hash of ["/turn/%E0%A4%A", "/turn/nothing/item/%", "/event/99999999999", "/turn/<img src=x>"]) {
      await page.goto(`${place}${hash}`);
      await page.locator(".head").waitFor();
    }
    await page.goto(place);
    await page.locator("h1", { hasText: "soon gone" }).waitFor();
    const under = (id: string) => row(page, id).count();
    await manager.deleteThread(thread.id);
    await page.locator(".thread", { hasText: "Choose a thread" }).waitFor();
    assert.equal(await under(thread.id), 0);
    assert.ok(!page.url().includes(thread.id));
    await page.locator(".rows").focus();
    for (const key of ["f", "i", "y"]) await page.keyboard.press(key);
    await page.reload();
    await row(page, ids.lead).waitFor();
    assert.deepEqual(problems, []);
  });

  test("demo --studio: the orchestrator is there, works, and its question is answered by a click", async (t) => {
    const child = start(["demo", "--studio", "--no-open", "--threads", "8"]);
    t.after(() => child.kill("SIGKILL"));
    const over = ended(child);
    const address = /skein studio: (\S+)/.exec(await printed(child, /#token=\S+\n/))?.[1] ?? "";
    const { page, problems } = await openPage(t, browser, { colorScheme: "dark" });
    await page.goto(address);
    const asked = page.locator(".inbox .question", { hasText: "node --version" });
    await asked.waitFor();
    await eventually("threads work", async () => (await page.locator(".row .mark.active").count()) > 0);
    await page.locator(".row[aria-expanded]").first().waitFor();
    await eventually("a fork is there", async () => (await page.locator(".row .mark.fork").count()) > 0);
    await asked.locator(".asker .link").click();
    await page.locator(".talk .question").waitFor();
    const ran = page.locator(".turn .tool", { hasText: "node --version" });
    const yes = page.locator(".talk .question").getByRole("button", { name: "Allow once" });
    await insist("the command has run", press(yes), async () => (await ran.count()) > 0);
    await page.locator(".facts", { hasText: "costs" }).waitFor();
    await shoot(page, "demo");
    assert.deepEqual(problems, []);
    child.kill("SIGINT");
    const { code, stderr } = await over;
    assert.deepEqual([code, stderr], [130, ""], "it ends in order");
  });

  test("a reload loses nothing; an address that was used, or none, gets nothing", async (t) => {
    const { page } = await open(t);
    await choose(page, ids.lead);
    const address = page.url();
    await page.reload();
    await page.locator(".turn").nth(2).waitFor();
    assert.equal(page.url(), address);
    const used = await openPage(t, browser);
    const invitation = scene.studio.invite();
    await used.page.goto(invitation);
    await row(used.page, ids.lead).waitFor();
    for (const given of [invitation, scene.studio.url, `${scene.studio.url}#token=wrong`]) {
      const { page: stranger } = await openPage(t, browser);
      await stranger.goto(given);
      await stranger.getByText("not known to the server").waitFor();
      assert.equal(await stranger.locator(".row").count(), 0);
    }
    await used.page.goto("about:blank");
  });

  test("a page of another origin gets nothing", async (t) => {
    const { page } = await openPage(t, browser);
    const { host } = new URL(scene.studio.url);
    await page.route("http://evil.test/**", (route) =>
      route.fulfill({ contentType: "text/html", body: "<p>hello</p>" }),
    );
    await page.goto("http://evil.test/");
    // Strings are run in the page: its globals are none of this program's.
    const got = await page.evaluate(`(async () => {
      const fetched = await fetch("http://${host}/studio/").then((answer) => answer.status, () => "refused");
      const line = await new Promise((resolve) => {
        const socket = new WebSocket("ws://${host}/studio/line", ["skein.v2", "skein.token.guess"]);
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
      });
      return { fetched, line };
    })()`);
    assert.deepEqual(got, { fetched: "refused", line: "refused" });
  });

  test("the server goes and comes back as another: the page says so, and shows the same again", async (t) => {
    const own = await world();
    t.after(() => own[Symbol.asyncDispose]());
    const { thread } = await own.manager.startThread();
    await thread.run("before the restart");
    const { page } = await openPage(t, browser);
    await page.goto(own.studio.invite());
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    await page.locator(".answer", { hasText: "before the restart" }).waitFor();
    const { port } = new URL(own.studio.url);
    await own.studio.close();
    await own.manager.shutdown();
    await page.locator(".line.away", { hasText: "the server is away" }).waitFor();
    const manager = await managerOf(own.home);
    t.after(() => manager.shutdown());
    await using studio = await createStudio(manager, { home: own.home, listen: `ws://127.0.0.1:${port}` });
    await page.getByText("not known to the server").waitFor();
    await page.goto("about:blank");
    await page.goto(studio.invite());
    await page.locator(".answer", { hasText: "before the restart" }).waitFor();
    assert.equal(await statusOf(page, thread.id), "not loaded");
    assert.equal(manager.loadedThread(thread.id), undefined, "to look loads nothing");
    await page.locator("#say").fill("and after it");
    await page.keyboard.press("Enter");
    await page.locator(".answer", { hasText: "and after it" }).waitFor();
    await row(page, thread.id).waitFor();
  });

  test("a running app-server is restarted under the page: it comes back by itself, and has lost nothing", async (t) => {
    const own = await world();
    t.after(() => own[Symbol.asyncDispose]());
    const serve = (manager: ThreadManager, listen: string) => {
      const server = createAppServer(manager, { home: own.home, cwd: own.home });
      return server.listen(listen).then(({ url }) => ({ server, url }));
    };
    const { server, url } = await serve(own.manager, "ws://127.0.0.1:0");
    const { thread } = await own.manager.startThread();
    for (const text of ["one", "two"]) await thread.run(text);
    const { thread: gone } = await own.manager.startThread();
    await gone.run("to be deleted");
    await using studio = await bridgeStudio({ connect: url });
    const { page, problems } = await openPage(t, browser);
    await page.goto(studio.invite());
    await row(page, gone.id).waitFor();
    await choose(page, thread.id);
    await page.locator(".answer", { hasText: "You said: two" }).waitFor();
    await server.close();
    await page.getByText("the server is away").waitFor();
    await own.manager.deleteThread(gone.id);
    await thread.run("three, while it was away");
    await own.manager.shutdown();
    const manager = await managerOf(own.home);
    t.after(() => manager.shutdown());
    const { server: again } = await serve(manager, url);
    t.after(() => again.close());
    await page.locator(".answer", { hasText: "three, while it was away" }).waitFor();
    await row(page, gone.id).waitFor({ state: "detached" });
    assert.equal(await page.locator(".turn").count(), 3);
    await page.locator("#say").fill("run touch after-the-restart");
    await page.keyboard.press("Enter");
    await page.locator(".talk .question", { hasText: "after-the-restart" }).waitFor();
    await page.reload();
    await page.locator(".talk .question", { hasText: "after-the-restart" }).waitFor();
    // In the middle of its turn.
    await page.locator(".turn").nth(3).waitFor();
    assert.equal(await page.locator(".turn").count(), 4);
    assert.deepEqual(problems, []);
  });

  test("what is told while the tree or a thread is read is not lost, nor the rest of a tree whose line breaks", async (t) => {
    const own = await world();
    t.after(() => own[Symbol.asyncDispose]());
    const made: Thread[] = [];
    for (const text of ["one", "two", "three"]) {
      const { thread } = await own.manager.startThread();
      await thread.run(text);
      made.push(thread);
    }
    const [first] = made;
    assert.ok(first);
    const { page, problems } = await openPage(t, browser);
    const line = await stoppedLine(page);
    await page.goto(own.studio.invite());
    await line.isStopped("skein/tree/read");
    const { thread: meanwhile } = await own.manager.startThread();
    await meanwhile.run("meanwhile");
    await row(page, meanwhile.id).waitFor();
    line.goOn();
    await row(page, first.id).waitFor();
    assert.equal(await row(page, meanwhile.id).count(), 1, "it came while the tree was read");
    await choose(page, first.id);
    await page.locator(".answer", { hasText: "You said: one" }).waitFor();
    line.stopAt("thread/turns/list", 2);
    await page.reload();
    await line.isStopped("thread/turns/list");
    await first.run("while it is read again");
    await row(page, first.id).locator(".tokens", { hasText: "980+1.6k" }).waitFor();
    await eventually("all of it has been told", async () => (await statusOf(page, first.id)) === "idle");
    line.goOn();
    await page.locator(".answer", { hasText: "while it is read again" }).waitFor();
    // Another tab looks on, so that the server knows what has changed since.
    const { page: other } = await openPage(t, browser);
    await other.goto(own.studio.invite());
    await row(other, first.id).waitFor();
    line.breakAt("skein/tree/read");
    await page.reload();
    for (const { id } of [...made, meanwhile]) await row(page, id).waitFor();
    assert.deepEqual(problems, []);
  });

  test("a click takes the thread that was pressed, also where the list moves in between", async (t) => {
    const { page } = await open(t);
    const { manager } = scene;
    const { thread: pressed } = await manager.startThread();
    await pressed.run("pressed");
    const { thread: above } = await manager.startThread();
    await above.run("above");
    await row(page, above.id).waitFor();
    await row(page, pressed.id).hover();
    await page.mouse.down();
    const { thread: moving } = await manager.startThread();
    await moving.run("moves the others down");
    await row(page, moving.id).waitFor();
    await page.mouse.up();
    assert.equal(await page.evaluate("location.hash"), `#/thread/${pressed.id}`);
  });

  test("read-only, and looking until it asks to act", async (t) => {
    const { page } = await openPage(t, browser);
    await using looking = await createStudio(scene.manager, { home: scene.home, access: "look" });
    await page.goto(looking.invite());
    await choose(page, ids.asking);
    await page.getByText("read-only").waitFor();
    assert.equal(await page.locator("#say").count(), 0);
    assert.equal(await button(page, "Allow once").count(), 0);
    await using asking = await createStudio(scene.manager, { home: scene.home, access: "ask" });
    const { page: second } = await openPage(t, browser);
    await second.goto(asking.invite());
    await choose(second, ids.asking);
    assert.equal(await second.locator("#say").count(), 0);
    await button(second, /Looking only/).click();
    await second.locator("#say").waitFor();
  });

  test("axe finds nothing serious; a phone shows one column at a time", async (t) => {
    for (const [name, options] of [
      ["wide", { colorScheme: "light" as const }],
      ["dark", { colorScheme: "dark" as const, viewport: { width: 1280, height: 800 } }],
      ["phone", { viewport: { width: 390, height: 844 } }],
    ] as const) {
      const { page, problems } = await open(t, { ...options, bypassCSP: true });
      await choose(page, ids.asking);
      await page.locator(".talk .question").waitFor();
      if (name === "phone") {
        assert.equal(await page.locator(".tree").isVisible(), false);
        assert.ok(await page.locator(".thread").isVisible());
        const wide = await page.evaluate<number>("document.documentElement.scrollWidth");
        assert.ok(wide <= 390, `nothing stands out to the right: ${wide}`);
      }
      await shoot(page, name);
      await page.evaluate(axe);
      const found = await page.evaluate(`axe.run().then(({ violations }) => violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => id + ": " + nodes.map(({ html, failureSummary }) => html.slice(0, 200) + " " + failureSummary).join("; ")))`);
      assert.deepEqual(found, [], name);
      if (name === "phone") {
        await button(page, /^Waiting/).click();
        await page.locator(".inbox").waitFor();
        await shoot(page, "phone-waiting");
        await button(page, "Plots").click();
        await page.locator(".plots .plot canvas").last().scrollIntoViewIfNeeded();
        const plots = await page.evaluate<number[]>(
          '[...document.querySelectorAll(".plots .canvas")].map(({ clientHeight }) => clientHeight)',
        );
        assert.ok(plots.length === 5 && plots.every((height) => height > 100), `they are high enough: ${plots}`);
        await shoot(page, "phone-plots");
        await button(page, "Threads").click();
        await page.locator(".tree").waitFor();
        // A question that is not in sight takes no answer.
        await page.keyboard.press("y");
        assert.ok(await page.locator(".row .mark.waiting").count());
        assert.equal(scene.manager.loadedThread(ids.asking as ThreadId)?.pendingApprovals.length, 1);
      }
      assert.deepEqual(problems, []);
    }
  });

  test("10,000 threads: only what is in sight is in the page, to the last row", async (t) => {
    const own = await world();
    t.after(() => own[Symbol.asyncDispose]());
    const { store } = own.manager;
    const many = 10_000;
    const seed = await own.manager.startThread();
    const header = await store.header(seed.threadId);
    const { newThreadId } = await import("../../src/protocol/ids.ts");
    const made: ThreadId[] = [];
    for (let n = 1; n < many; n += 100) {
      await Promise.all(
        Array.from({ length: Math.min(100, many - n) }, async (_, index) => {
          const id = newThreadId();
          const parent = made[Math.floor((n + index) / 3)] ?? seed.threadId;
          const source = {
            subagent: {
              thread_spawn: {
                parent_thread_id: parent,
                depth: 1,
                agent_nickname: `Agent ${n + index}`,
                agent_role: "worker",
              },
            },
          };
          const writer = await store.create({ ...header, id, session_id: id, source } as never);
          await writer.close();
          made.push(id);
        }),
      );
    }
    const { page, problems } = await openPage(t, browser);
    await page.goto(own.studio.invite());
    await eventually("all have come", async () =>
      ((await page.locator(".top").textContent()) ?? "").includes("10,000 threads"),
    );
    await eventually("rows are there", async () => (await page.locator(".row").count()) > 20);
    const elements = () => page.evaluate<number>('document.querySelectorAll("*").length');
    assert.ok((await elements()) < 1_500, `${await elements()} elements`);
    const scrolled = await longestTaskMs(browser, page, async () => {
      await page.locator(".rows").hover();
      const placeOf = () => page.evaluate<number>('document.querySelector(".rows").scrollTop');
      for (let n = 0; n < 40; n += 1) await page.mouse.wheel(0, 400);
      await eventually("the wheel scrolls", async () => (await placeOf()) > 5_000);
      await page.evaluate('{ const rows = document.querySelector(".rows"); rows.scrollTop = rows.scrollHeight; }');
      await eventually("the last row", async () => (await page.locator(".row").last().boundingBox()) !== null);
      const bottom = await placeOf();
      for (let n = 0; n < 40; n += 1) await page.mouse.wheel(0, -400);
      await eventually("and back", async () => (await placeOf()) < bottom - 5_000);
    });
    t.diagnostic(`the longest task while scrolling took ${scrolled.toFixed(1)} ms of the processor`);
    assert.ok(scrolled < 100, `no long task: ${scrolled} ms`);
    assert.ok((await elements()) < 1_500);
    await page.locator("#find").fill("Agent 9876");
    await page.locator(".row", { hasText: "Agent 9876" }).waitFor();
    await shoot(page, "many");
    assert.deepEqual(problems, []);
  });
});
