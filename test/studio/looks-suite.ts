/** How the page looks in a real Chromium: hostile words, a screen reader's tree, a phone, and ten thousand threads. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { suite, test } from "node:test";
import type { Page } from "playwright-core";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { longestTaskMs, openPage, shoot } from "./browser.ts";
import { button, choose, eventually, row, staged, WITHOUT } from "./stage.ts";
import { HOSTILE, world } from "./world.ts";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

suite("how the page looks", { skip: WITHOUT }, () => {
  const stage = staged();

  test("whatever is said stays text", async (t) => {
    const { page, problems } = await stage.open(t);
    await choose(page, stage.ids.lead);
    const said = page.locator(".answer", { hasText: "onerror" });
    await said.waitFor();
    const shown = (await said.textContent()) ?? "";
    assert.ok(shown.includes(HOSTILE.split("\n")[0] ?? ""), shown);
    assert.match(shown, /safe⟨U\+202E⟩gnp\.exe/);
    assert.equal(await page.locator(".thread img, .thread script, .thread a, .thread iframe").count(), 0);
    assert.equal(await page.title(), "skein studio");
    const { manager } = stage.scene;
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

  test("axe finds nothing serious; a phone shows one column at a time", async (t) => {
    for (const [name, options] of [
      ["wide", { colorScheme: "light" as const }],
      ["dark", { colorScheme: "dark" as const, viewport: { width: 1280, height: 800 } }],
      ["phone", { viewport: { width: 390, height: 844 } }],
    ] as const) {
      const { page, problems } = await stage.open(t, { ...options, bypassCSP: true });
      await choose(page, stage.ids.asking);
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
        assert.equal(stage.scene.manager.loadedThread(stage.ids.asking as ThreadId)?.pendingApprovals.length, 1);
      }
      assert.deepEqual(problems, []);
    }
  });

  /** Of the elements that are in sight: those whose words are cut off, and those that stand out to the right. */
  const cutOff = (page: Page, selector: string) =>
    page.evaluate<string[]>(`[...document.querySelectorAll(${JSON.stringify(selector)})]
      .filter((element) => element.checkVisibility())
      .filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        return element.scrollWidth > element.clientWidth + 1 || left < 0 || right > innerWidth;
      })
      .map(({ className, textContent }) => className + ": " + textContent)`);

  for (const [width, height] of [
    [1_280, 800],
    [390, 844],
  ] as const) {
    test(`at ${width} pixels no legend and no button is cut, and the machine's words can be read`, async (t) => {
      const { page, problems } = await stage.open(t, { viewport: { width, height } });
      await choose(page, stage.ids.asking);
      await page.locator(".talk .question").waitFor();
      assert.deepEqual(await cutOff(page, ".head button, .tabs button, .talk button, .composer button"), []);
      assert.ok(await page.locator(".top .line").isVisible(), "whether the server is there is told");
      assert.deepEqual(await cutOff(page, ".top .line"), []);
      const isPhone = width < 800;
      if (isPhone) await button(page, "Plots").click();
      await page.locator(".plots canvas").last().waitFor();
      assert.deepEqual(await cutOff(page, ".plots figcaption"), []);
      const dashes = await page.evaluate<string[]>(
        `[...document.querySelectorAll(".legend.dashed")].map((legend) => {
          const { width, borderTopStyle } = getComputedStyle(legend, "::before");
          return borderTopStyle + (parseFloat(width) >= 14 ? "" : " too short to be seen as that");
        })`,
      );
      assert.ok(dashes.length > 0 && dashes.every((style) => style === "dashed"), String(dashes));
      if (isPhone) await button(page, /^Waiting/).click();
      await page.locator(".machine .state.lit").first().waitFor();
      const edge = page.locator(".machine .edge .reach").first();
      const told = page.locator(".machine p.where > span").first();
      const before = await told.textContent();
      await edge.dispatchEvent("mouseenter");
      await page.locator(".machine p.where > span", { hasText: "→" }).waitFor();
      await edge.dispatchEvent("mouseleave");
      await eventually("the edge's words go with the pointer", async () => (await told.textContent()) === before);
      await button(page, "enlarge").click();
      const large = page.locator("dialog.large");
      await large.locator("svg").waitFor();
      const letters = await page.evaluate<number>(
        `Math.min(...[...document.querySelectorAll("dialog.large text")].map((text) => text.getBoundingClientRect().height))`,
      );
      assert.ok(letters >= 9, `its words are ${letters} pixels high`);
      await shoot(page, `machine-${width}`);
      await page.keyboard.press("Escape");
      await large.waitFor({ state: "hidden" });
      assert.deepEqual(problems, []);
    });
  }

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
    const { page, problems } = await openPage(t, stage.browser);
    await page.goto(own.studio.invite());
    await eventually("all have come", async () =>
      ((await page.locator(".top").textContent()) ?? "").includes("10,000 threads"),
    );
    await eventually("rows are there", async () => (await page.locator(".row").count()) > 20);
    const elements = () => page.evaluate<number>('document.querySelectorAll("*").length');
    assert.ok((await elements()) < 1_500, `${await elements()} elements`);
    const scrolled = await longestTaskMs(stage.browser, page, async () => {
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
