/** The page's line in a real Chromium: who gets one, and that nothing is lost when either end goes, or lags. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createAppServer } from "../../src/app-server/app-server.ts";
import type { ThreadManager } from "../../src/manager/thread-manager.ts";
import { bridgeStudio } from "../../src/studio/bridge.ts";
import { createStudio } from "../../src/studio/index.ts";
import type { Thread } from "../../src/thread/thread.ts";
import { openPage } from "./browser.ts";
import { button, choose, eventually, row, staged, statusOf, WITHOUT } from "./stage.ts";
import { stoppedLine } from "./stopped-line.ts";
import { managerOf, world } from "./world.ts";

suite("the page's line", { skip: WITHOUT }, () => {
  const stage = staged();

  test("a reload loses nothing; an address that was used, or none, gets nothing", async (t) => {
    const { page } = await stage.open(t);
    await choose(page, stage.ids.lead);
    const address = page.url();
    await page.reload();
    await page.locator(".turn").nth(2).waitFor();
    assert.equal(page.url(), address);
    const used = await openPage(t, stage.browser);
    const invitation = stage.scene.studio.invite();
    await used.page.goto(invitation);
    await row(used.page, stage.ids.lead).waitFor();
    for (const given of [invitation, stage.scene.studio.url, `${stage.scene.studio.url}#token=wrong`]) {
      const { page: stranger } = await openPage(t, stage.browser);
      await stranger.goto(given);
      await stranger.getByText("not known to the server").waitFor();
      assert.equal(await stranger.locator(".row").count(), 0);
    }
    await used.page.goto("about:blank");
  });

  test("a page of another origin gets nothing", async (t) => {
    const { page } = await openPage(t, stage.browser);
    const { host } = new URL(stage.scene.studio.url);
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
    const { page } = await openPage(t, stage.browser);
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
    const { page, problems } = await openPage(t, stage.browser);
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
    const { page, problems } = await openPage(t, stage.browser);
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
    const { page: other } = await openPage(t, stage.browser);
    await other.goto(own.studio.invite());
    await row(other, first.id).waitFor();
    line.breakAt("skein/tree/read");
    await page.reload();
    for (const { id } of [...made, meanwhile]) await row(page, id).waitFor();
    assert.deepEqual(problems, []);
  });

  test("a click takes the thread that was pressed, also where the list moves in between", async (t) => {
    const { page } = await stage.open(t);
    const { manager } = stage.scene;
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
    const { page } = await openPage(t, stage.browser);
    await using looking = await createStudio(stage.scene.manager, { home: stage.scene.home, access: "look" });
    await page.goto(looking.invite());
    await choose(page, stage.ids.asking);
    await page.getByText("read-only").waitFor();
    assert.equal(await page.locator("#say").count(), 0);
    assert.equal(await button(page, "Allow once").count(), 0);
    await using asking = await createStudio(stage.scene.manager, { home: stage.scene.home, access: "ask" });
    const { page: second } = await openPage(t, stage.browser);
    await second.goto(asking.invite());
    await choose(second, stage.ids.asking);
    assert.equal(await second.locator("#say").count(), 0);
    await button(second, /Looking only/).click();
    await second.locator("#say").waitFor();
  });
});
