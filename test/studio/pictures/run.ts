/**
 * `npm run draw:studio`: the pictures of docs/observing.md, taken in Chromium of the demo as it plays, and what `skein tree`
 * and `skein top` print of it. They are a moment of a run, so no test compares them.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { createAppServer } from "../../../src/app-server/index.ts";
import { demoManager, playForever } from "../../../src/cli/demo/studio-demo.ts";
import { fileStore } from "../../../src/index.ts";
import { createStudio } from "../../../src/studio/index.ts";
import { chromiumPath, launch } from "../browser.ts";

const ROOT = join(import.meta.dirname, "../../..");
const FOLDER = join(ROOT, "docs/studio");
const DOC = join(ROOT, "docs/observing.md");
const WIDE = { width: 1_280, height: 800 };
/** So that plots and timeline have something to show. */
const PLAYED_MS = Number(process.env.SKEIN_PLAYED_MS ?? 45_000);

const executablePath = chromiumPath();
if (executablePath === undefined)
  throw new Error("no Chromium: install it (Debian package chromium), or say where it is by SKEIN_CHROMIUM");
const home = await mkdtemp(join(tmpdir(), "skein-pictures-"));
await mkdir(FOLDER, { recursive: true });
// A question shows the folder that its command runs in: not that of whoever draws.
process.chdir(home);
const controller = new AbortController();
const manager = await demoManager(fileStore({ home }));
const playing = playForever(manager, { threads: 12, turns: 3 }, controller.signal);
const studio = await createStudio(manager);
const server = createAppServer(manager);
const listener = await server.listen("ws://127.0.0.1:0");
const browser = await launch(executablePath);
try {
  const first = await open({ colorScheme: "dark", viewport: { width: 1_440, height: 900 } });
  await first.waitForTimeout(PLAYED_MS);
  await chooseLead(first);
  await take(first, "studio");
  await first.close();
  const light = await open({ colorScheme: "light", viewport: WIDE });
  await chooseLead(light);
  await take(light, "light");
  await light.locator(".tabs").getByRole("button", { name: "Timeline" }).click();
  await light.waitForTimeout(1_500);
  await take(light, "timeline");
  await light.locator(".tabs").getByRole("button", { name: "Figures" }).click();
  await light.locator(".turns tbody tr").first().waitFor();
  await light.waitForTimeout(500);
  await light.keyboard.press("g");
  await light.keyboard.press("s");
  await light.locator(".standing dd").first().waitFor();
  await take(light, "figures");
  await light.close();
  const phone = await open({ colorScheme: "dark", viewport: { width: 390, height: 780 } });
  await phone.waitForTimeout(500);
  await take(phone, "phone");
  await phone.close();
  await writeTexts();
} finally {
  controller.abort();
  await browser.close();
  await studio.close();
  await server.close();
  await playing.catch(() => undefined);
  await manager.shutdown({ deadlineMs: 2_000 });
  await rm(home, { recursive: true, force: true, maxRetries: 3 });
}

async function open(options: BrowserContextOptions): Promise<Page> {
  const context = await (browser as Browser).newContext({ ...options, reducedMotion: "reduce" });
  const page = await context.newPage();
  await page.goto(studio.invite());
  await page.locator(".row").first().waitFor();
  return page;
}

/** A thread at work that has agents under it. */
async function chooseLead(page: Page): Promise<void> {
  const busy = page.locator(".row[aria-expanded]:has(.mark.active)");
  await busy.first().waitFor({ timeout: 60_000 });
  await busy.first().click();
  await page.locator(".head").waitFor();
  await page.locator(".turn").first().waitFor();
  await page.waitForTimeout(1_200);
}

/** As WebP, by the browser: a third of the PNG. */
async function take(page: Page, name: string): Promise<void> {
  const png = await page.screenshot();
  const context = await browser.newContext();
  const painter = await context.newPage();
  const url = `data:image/png;base64,${png.toString("base64")}`;
  const webp = await painter.evaluate<string>(`(async () => {
    const image = new Image();
    image.src = ${JSON.stringify(url)};
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.86);
  })()`);
  await context.close();
  await writeFile(join(FOLDER, `${name}.webp`), Buffer.from(webp.slice(webp.indexOf(",") + 1), "base64"));
  process.stdout.write(`docs/studio/${name}.webp\n`);
}

/** What stands between `<!-- NAME -->` and the next fence's end is what the command prints now. */
async function writeTexts(): Promise<void> {
  let doc = await readFile(DOC, "utf8");
  for (const name of ["tree", "top"]) {
    const args = [join(ROOT, "dist/src/cli/main.js"), name, "--connect", listener.url];
    const { stdout } = await promisify(execFile)(process.execPath, ["--no-warnings", ...args], { timeout: 120_000 });
    const shown = stdout
      .trimEnd()
      .split("\n")
      .slice(0, 16)
      .map((line) => line.trimEnd());
    const block = new RegExp(`(<!-- ${name} -->\n\`\`\`\n)[\\s\\S]*?(\n\`\`\`)`);
    if (!block.test(doc)) throw new Error(`docs/observing.md has no block for ${name}`);
    doc = doc.replace(block, (_, before: string, after: string) => `${before}${shown.join("\n")}${after}`);
  }
  await writeFile(DOC, doc);
}
