/**
 * The studio in a real Chromium: every action is done by clicking or by a key, and what the page shows is what the manager
 * knows. Run by `npm run test:studio`. Pictures are kept in .cache/studio.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { suite, test } from "node:test";
import type { Page } from "playwright-core";
import type { ThreadManager } from "../../src/manager/thread-manager.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { ended, printed, start } from "../cli/skein.ts";
import { openPage, shoot } from "./browser.ts";
import { button, choose, eventually, insist, press, row, staged, statusOf, WITHOUT } from "./stage.ts";
import { world } from "./world.ts";

const threadsOf = async (manager: ThreadManager) =>
  (await manager.listThreads({ limit: 100, sourceKinds: ["cli", "vscode", "exec", "mcp", "unknown", "subagent"] }))
    .threads;

suite("the studio in a browser", { skip: WITHOUT }, () => {
  const stage = staged();

  test("the forest, the inbox, one conversation, the machine and the events are there, in both schemes", async (t) => {
    for (const colorScheme of ["light", "dark"] as const) {
      const { page, problems, requests } = await stage.open(t, { colorScheme });
      assert.ok(!page.url().includes("token"), "the address keeps no token");
      await choose(page, stage.ids.asking);
      await page.locator(".talk .question").waitFor();
      assert.equal(await statusOf(page, stage.ids.asking), "waits for you");
      assert.match((await row(page, stage.ids.asking).textContent()) ?? "", /Dirac.*explorer/);
      assert.ok((await page.locator(".inbox .question").count()) >= 2);
      await page.locator('.machine .state.lit[data-state="runningTools.awaitingApproval"]').waitFor();
      await page.locator(".events .line").first().waitFor();
      await page.locator(".plot canvas").first().waitFor();
      await shoot(page, `asking-${colorScheme}`);
      await choose(page, stage.ids.lead);
      await page.locator(".turn").nth(2).waitFor();
      await shoot(page, `lead-${colorScheme}`);
      assert.deepEqual(problems, []);
      const { origin } = new URL(stage.scene.studio.url);
      assert.deepEqual(
        requests.filter((url) => !url.startsWith(origin) && !url.startsWith(origin.replace("http", "ws"))),
        [],
      );
    }
  });

  test("questions are answered by a click, and by a key; in one tab for both", async (t) => {
    const { page } = await stage.open(t);
    const { page: other } = await stage.open(t);
    const { manager } = stage.scene;
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
    const fourth = await asks("patch fourth.txt");
    await row(page, fourth).waitFor();
    await choose(page, fourth);
    await page.getByText("No patch has changed a file").waitFor();
    const toPatch = card(page, "fourth.txt").getByRole("button", { name: "Allow once" });
    await insist("the patch is allowed", press(toPatch), isAnswered(fourth));
    await page.locator(".tool", { hasText: "fourth.txt" }).waitFor();
    await page.locator(".tool", { hasText: "fourth.txt" }).locator("summary").click();
    assert.deepEqual(await page.locator(".thread .diff > div").allTextContents(), ["one line", "another line"]);
    await button(page, "Conversation").click();
  });

  test("a message is sent, a running turn steered and interrupted", async (t) => {
    const { page } = await stage.open(t);
    const { manager } = stage.scene;
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
    const { page } = await stage.open(t);
    const { manager } = stage.scene;
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
    const { page } = await stage.open(t);
    const { manager } = stage.scene;
    const { thread } = await manager.startThread();
    await thread.run("something to sum up");
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    const menu = async (name: string) => {
      await page.locator(".menu > summary").click();
      await page.locator(".menu .list").getByRole("button", { name }).click();
    };
    const list = page.locator(".menu .list");
    for (const leave of [() => page.keyboard.press("Escape"), () => page.locator("h1").click()]) {
      await page.locator(".menu > summary").click();
      await list.waitFor();
      await leave();
      await list.waitFor({ state: "hidden" });
    }
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
    const { page } = await stage.open(t);
    const { manager } = stage.scene;
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
    const { page } = await stage.open(t);
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
    assert.ok((await row(page, stage.ids.lead).getAttribute("class"))?.includes("passing"));
    await page.keyboard.press("Escape");
    await eventually("all again", async () => (await page.locator(".row").count()) > 5);
    await choose(page, stage.ids.lead);
    await page.locator(".rows").focus();
    await page.keyboard.press("ArrowLeft");
    await row(page, stage.ids.asking).waitFor({ state: "detached" });
    assert.equal(await row(page, stage.ids.lead).getAttribute("aria-expanded"), "false");
    await page.keyboard.press("ArrowRight");
    await row(page, stage.ids.asking).waitFor();
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
    const { thread } = await stage.scene.manager.startThread();
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
    const { page, problems } = await openPage(t, stage.browser);
    await page.goto(own.studio.invite());
    await row(page, thread.id).waitFor();
    await choose(page, thread.id);
    // 1,200 in of which 800 cached, 90 out, three times.
    await page.locator(".facts", { hasText: "costs 0.0058" }).waitFor();
    await button(page, "Figures").click();
    await page.locator(".turns tbody tr").nth(2).waitFor();
    const names = await page.locator(".turns thead th").allTextContents();
    assert.ok(names.length === 10 && names.every((name) => name !== ""), "each column has a name");
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
    const { page } = await stage.open(t);
    const { thread } = await stage.scene.manager.startThread();
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
      await choose(page, stage.ids.lead);
      await page.goto(places[at] ?? "");
      await page.locator(selector).waitFor();
      assert.ok(!page.url().includes("token"));
      assert.equal(await page.locator('.row[aria-selected="true"]').getAttribute("data-thread"), thread.id);
    }
    // A tab without a session keeps the place for the invitation that it is given.
    const { page: other } = await openPage(t, stage.browser);
    await other.goto(places[0] ?? "");
    await other.getByText("not known to the server").waitFor();
    await other.goto(stage.scene.studio.invite());
    await other.reload();
    await other.locator(".turn.pointed").waitFor();
  });

  test("tokens that were cached stand apart, a turn's requests are shaded, and forks hang by hairlines", async (t) => {
    const own = await world();
    t.after(() => own[Symbol.asyncDispose]());
    const { thread } = await own.manager.startThread();
    await thread.run("one");
    const { page, problems } = await openPage(t, stage.browser);
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
    const { page, problems } = await openPage(t, stage.browser);
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
    const { page, problems } = await stage.open(t);
    const { manager } = stage.scene;
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
    await row(page, stage.ids.lead).waitFor();
    assert.deepEqual(problems, []);
  });

  test("demo --studio: the orchestrator is there, works, and its question is answered by a click", async (t) => {
    const child = start(["demo", "--studio", "--no-open", "--threads", "8"]);
    t.after(() => child.kill("SIGKILL"));
    const over = ended(child);
    const address = /skein studio: (\S+)/.exec(await printed(child, /#token=\S+\n/))?.[1] ?? "";
    const { page, problems } = await openPage(t, stage.browser, { colorScheme: "dark" });
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
    await insist("it is answered", press(yes), async () => (await yes.count()) === 0);
    await eventually("the command has ended", async () => /exit/.test((await ran.textContent()) ?? ""));
    assert.match((await ran.locator(".state").textContent()) ?? "", /^\w+ · exit \d+ · \d.*s$/);
    await page.locator(".answer", { hasText: /The ground station says: v\d+\./ }).waitFor();
    await page.locator(".facts", { hasText: "costs" }).waitFor();
    await shoot(page, "demo");
    assert.deepEqual(problems, []);
    child.kill("SIGINT");
    const { code, stderr } = await over;
    assert.deepEqual([code, stderr], [130, ""], "it ends in order");
  });
});
