/** What the suites of the studio stand on: a browser, a world to look at, and hands that do not let go too early. */
import assert from "node:assert/strict";
import { after, before, type TestContext } from "node:test";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import { chromiumPath, DEADLINE_MS, launch, openPage, type WatchedPage } from "./browser.ts";
import { populate, type World, world } from "./world.ts";

const executablePath = chromiumPath();

/** Why a suite is left out. */
export const WITHOUT = executablePath === undefined ? "there is no Chromium here" : false;

export const row = (page: Page, id: string) => page.locator(`.row[data-thread="${id}"]`);
export const choose = async (page: Page, id: string) => {
  // A list that has just moved may take the click for another.
  await eventually("it is selected", async () => {
    await row(page, id).click();
    return (await page.evaluate<string>("location.hash")) === `#/thread/${id}`;
  });
  await page.locator(".head").waitFor();
};
export const button = (page: Page, name: string | RegExp) => page.getByRole("button", { name });
export const statusOf = (page: Page, id: string) =>
  row(page, id)
    .locator(".mark")
    .first()
    .getAttribute("aria-label")
    .catch(() => "");

/** Until the page, or the manager, is as it should be. */
export async function eventually(what: string, isSo: () => unknown): Promise<void> {
  for (const since = performance.now(); performance.now() - since < DEADLINE_MS; ) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`never came true: ${what}`);
}

/** Does it again until it has been taken: what has just come or moved takes no answer. */
export const insist = (what: string, act: () => Promise<unknown>, isSo: () => unknown): Promise<void> =>
  eventually(what, async () => {
    if (await isSo()) return true;
    await act().catch(() => undefined);
    return isSo();
  });
export const press = (button: Locator) => () => button.click({ timeout: 1_000 });

/** A browser and a populated world, from before a suite's first test to after its last. */
export function staged() {
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
  return {
    get browser() {
      return browser;
    },
    get scene() {
      return scene;
    },
    get ids() {
      return ids;
    },
    /** A page on the world, whose lead is in sight. */
    async open(t: TestContext, options: BrowserContextOptions = {}): Promise<WatchedPage> {
      const opened = await openPage(t, browser, options);
      await opened.page.goto(scene.studio.invite());
      await row(opened.page, ids.lead).waitFor();
      return opened;
    },
  };
}
