/** Pictures: looked at by their bytes, framed, and taken out of what is sent where a model's server refuses them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { call, fail, raw, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import { type ContentItem, functionCallOutput, type ResponseItem } from "../../src/protocol/response-item.ts";
import type { UserInput } from "../../src/protocol/user-input.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { History } from "../../src/turn/history.ts";
import { pictureType } from "../../src/turn/picture.ts";
import { bench, folder } from "./tools/tool-turn.ts";

const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
  "base64",
);
const GIF = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");
const WEBP = Buffer.from("UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAgA0JaQAA3AA/vuUAAA=", "base64");
const JPEG = Buffer.from(
  "ffd8ffe000104a46494600010100000100010000ffc0000b080001000101011100ffc40014000100000000000000000000000000000009ffda0008010100003f0054ffd9",
  "hex",
);
const url = (bytes: Buffer, type = "image/png") => `data:${type};base64,${bytes.toString("base64")}`;
const OMITTED = "image content omitted because it could not be processed";

const KINDS: [string, Buffer][] = [
  ["image/png", PNG],
  ["image/gif", GIF],
  ["image/webp", WEBP],
  ["image/jpeg", JPEG],
];
for (const [type, bytes] of KINDS) {
  test(`${type} is known by its bytes, and only when it is whole`, () => {
    assert.equal(pictureType(bytes), type);
    for (let length = 0; length < bytes.length - (type === "image/webp" ? 1 : 0); length += 1) {
      assert.equal(pictureType(bytes.subarray(0, length)), undefined, `${length} bytes of it`);
    }
  });
}

test("a picture that says it is too large to unpack is none, however few its bytes", () => {
  const header = Buffer.from(PNG.subarray(0, 33));
  header.writeUInt32BE(100_000, 16);
  header.writeUInt32BE(100_000, 20);
  header.writeUInt32BE(crc32(header.subarray(12, 29)), 29);
  const jpeg = Buffer.from(JPEG);
  jpeg.writeUInt32BE(0xffff_ffff, jpeg.indexOf(Buffer.from([0xff, 0xc0])) + 5);
  const webp = Buffer.alloc(30);
  webp.write("RIFF");
  webp.writeUInt32LE(22, 4);
  webp.write("WEBPVP8X", 8);
  assert.equal(pictureType(webp), "image/webp");
  webp.fill(0xff, 24);
  for (const bytes of [Buffer.concat([header, PNG.subarray(33)]), jpeg, webp])
    assert.equal(pictureType(bytes), undefined);
});

test("no bytes at all end the look", () => {
  for (let n = 0; n < 2_000; n += 1) {
    const bytes = Buffer.concat([KINDS[n % 4]?.[1].subarray(0, 4 + (n % 40)) ?? PNG, Buffer.alloc(n % 300, n)]);
    pictureType(bytes);
  }
  assert.equal(pictureType(Buffer.from("version https://git-lfs.github.com/spec/v1\n")), undefined);
});

test("view_image shows the model a picture, and says in Codex's words why it shows none", async (t) => {
  const cwd = await folder(t);
  await writeFile(join(cwd, "ok.png"), PNG);
  await writeFile(join(cwd, "named.png"), "no picture");
  const looks = ["ok.png", "gone.png", "named.png", "."].map((path) => call("view_image", { path }));
  const b = await bench(t, [looks, [say("seen")]], { cwd, builtInTools: ["view_image"] });
  assert.equal((await b.thread.run("look")).status, "completed");
  const input = b.model.requests[1]?.input ?? [];
  assert.deepEqual(
    input.flatMap((item) => (item.type === "function_call_output" ? [item.output] : [])),
    [
      [image(url(PNG))],
      `unable to locate image at \`${join(cwd, "gone.png")}\`: No such file or directory (os error 2)`,
      "unable to process image: invalid or unsupported image data",
      `image path \`${cwd}\` is not a file`,
    ],
  );
  const shown = b.ofType("item_completed").flatMap(({ item }) => (item.type === "ImageView" ? [item.path] : []));
  assert.deepEqual(shown, [join(cwd, "ok.png")]);
  assert.deepEqual(
    b.ofType("view_image_tool_call").map(({ path }) => path),
    shown,
  );
});

test("a picture that a tool gave and the server refused, whatever it says of it, fails one more turn at most", async (t) => {
  const cwd = await folder(t);
  await writeFile(join(cwd, "ok.png"), PNG);
  const refused = () => fail(new ModelError("bad request", { httpStatus: 400 }));
  const plays = [[call("view_image", { path: "ok.png" })], [refused()], [refused()], [say("on we go")]];
  const b = await bench(t, plays, { cwd, builtInTools: ["view_image"] });
  for (const text of ["look", "again"]) assert.equal((await b.thread.run(text)).status, "failed");
  assert.equal((await b.thread.run("and now")).lastAgentMessage, "on we go");
  assert.ok(!JSON.stringify(b.model.requests[3]?.input).includes("base64"));
});

const lastUser = (request: ModelRequest | undefined): ContentItem[] => {
  const item = request?.input.findLast((sent) => sent.type === "message" && sent.role === "user");
  return item?.type === "message" ? item.content : [];
};
const text = (words: string) => ({ type: "input_text", text: words });
const image = (image_url: string) => ({ type: "input_image", image_url, detail: "high" });

test("local images are framed, broken ones are told of, and files that cannot be read are named", async (t) => {
  const cwd = await folder(t);
  await writeFile(join(cwd, "ok.jpg"), PNG);
  await writeFile(join(cwd, "bad.png"), "no picture");
  await writeFile(join(cwd, "empty.png"), "");
  await mkdir(join(cwd, "dir"));
  spawnSync("mkfifo", [join(cwd, "pipe.png")]);
  const paths = ["ok.jpg", join(cwd, "bad.png"), "empty.png", "gone.png", "dir", "pipe.png"];
  const items: UserInput[] = [
    ...paths.map((path) => ({ type: "local_image" as const, path })),
    { type: "text", text: "look" },
  ];
  const { thread, model, ofType } = await bench(t, [], { cwd });
  const result = await thread.run(items);
  assert.equal(result.status, "completed");
  assert.deepEqual(lastUser(model.requests[0]), [
    ...[text('<image name=[Image #1] path="ok.jpg">'), image(url(PNG)), text("</image>")],
    ...[text(`<image name=[Image #2] path="${join(cwd, "bad.png")}">`), text(OMITTED), text("</image>")],
    ...[text('<image name=[Image #3] path="empty.png">'), text(OMITTED), text("</image>")],
    text("Codex could not read the local image at `gone.png`: No such file or directory (os error 2)"),
    text("Codex could not read the local image at `dir`: Is a directory (os error 21)"),
    text("Codex could not read the local image at `pipe.png`: is not a regular file"),
    text("look"),
  ]);
  const told = ofType("item_completed").find(({ item }) => item.type === "UserMessage")?.item;
  assert.deepEqual(
    told !== undefined && "content" in told && told.content,
    items,
    "the item keeps what the client sent",
  );
});

test("data URLs are judged by what they hold, other URLs are not", async (t) => {
  const { thread, model } = await bench(t, []);
  const urls = ["data:image/png;base64,AAAA", "data:,x", url(PNG, "text/plain"), url(GIF), "not a url"];
  await thread.run(urls.map((image_url) => ({ type: "image" as const, image_url })));
  assert.deepEqual(lastUser(model.requests[0]), [
    ...[text(OMITTED), text(OMITTED)],
    ...[image(url(PNG)), image(url(GIF, "image/gif"))],
    image("not a url"),
  ]);
});

test("whatever brings a broken picture into a history, the model gets none: outputs of tools, injected items", () => {
  const call: ResponseItem = { type: "function_call", name: "shot", arguments: "{}", call_id: "c" };
  const history = new History([
    call,
    functionCallOutput("c", [{ type: "input_image", image_url: "data:image/png;base64,AAAA" }]),
  ]);
  assert.deepEqual(history.forModel()[1], functionCallOutput("c", [{ type: "input_text", text: OMITTED }]));
});

const refusal = (message: string, httpStatus = 400) => fail(new ModelError(message, { httpStatus }));
const pictures = (request: ModelRequest | undefined) =>
  JSON.stringify(request?.input).split('"input_image"').length - 1;
const picture: UserInput = { type: "image", image_url: url(PNG) };

for (const [status, words] of [
  [400, "Invalid image data"],
  [413, "Payload too large"],
  [422, "unsupported media type"],
] as const) {
  test(`a picture that the server refuses with ${status} fails its turn and no later one, also after a reload`, async (t) => {
    const store = memoryStore();
    const play = ({ input }: ModelRequest) =>
      JSON.stringify(input).includes(url(PNG)) ? [refusal(words, status)] : "seen nothing";
    const first = await ThreadManager.create({ model: scriptedClient(play), store });
    const { thread, threadId } = await first.startThread();
    const warnings: string[] = [];
    thread.events$.subscribe(({ msg }) => void (msg.type === "warning" && warnings.push(msg.message)));
    assert.equal((await thread.run([picture, { type: "text", text: "look" }])).status, "failed");
    assert.match(warnings.join(), /refused a picture/);
    assert.equal((await thread.run("without it?")).lastAgentMessage, "seen nothing");
    await first.shutdown();
    const model = scriptedClient(play, { recordRequests: 1 });
    const second = await ThreadManager.create({ model, store });
    t.after(() => second.shutdown());
    const again = await second.resumeThread(threadId);
    assert.equal((await again.thread.run("and now?")).lastAgentMessage, "seen nothing");
    assert.match(JSON.stringify(model.requests[0]?.input), /server refused it/);
  });
}

test("pictures that the model has taken stay when a new one is refused", async (t) => {
  const { thread, model } = await bench(t, ["one", [refusal("Could not process image")], "three"]);
  await thread.run([picture]);
  await thread.run([picture, picture]);
  await thread.run("go on");
  assert.deepEqual(model.requests.map(pictures), [1, 3, 1]);
});

test("a refusal that names no picture takes one out only when it is refused again", async (t) => {
  const { thread, model } = await bench(t, [[refusal("bad request")], [refusal("bad request")], "three"]);
  await thread.run([picture]);
  await thread.run("again");
  await thread.run("and again");
  assert.deepEqual(model.requests.map(pictures), [1, 1, 0]);
});

test("a refusal that names no picture, of what has none, tells nobody of pictures however often it comes", async (t) => {
  const { thread, model } = await bench(t, [[refusal("bad request")], [refusal("bad request")], "three"]);
  const warnings: string[] = [];
  thread.events$.subscribe(({ msg }) => void (msg.type === "warning" && warnings.push(msg.message)));
  for (const text of ["one", "two", "three"]) await thread.run(text);
  assert.deepEqual(warnings, []);
  assert.doesNotMatch(JSON.stringify(model.requests.at(-1)?.input), /refused/);
});

test("other failures leave the pictures", async (t) => {
  const { thread, model } = await bench(t, [
    [refusal("no image for you", 401)],
    [refusal("image limit", 429)],
    "three",
  ]);
  await thread.run([picture]);
  await thread.run("again");
  await thread.run("and again");
  assert.deepEqual(model.requests.map(pictures), [1, 1, 1]);
});

test("a picture that lies at the server goes as soon as the server does not know them", async (t) => {
  const { thread, model } = await bench(t, [[refusal("No such File object: file-abc", 404)], "two"]);
  const lost = () => JSON.stringify(model.requests.at(-1)?.input).includes("file-abc");
  await thread.run([{ type: "image", file_id: "file-abc" }]);
  assert.ok(lost());
  assert.equal((await thread.run("and now?")).lastAgentMessage, "two");
  assert.ok(!lost());
});

test("reasoning that another server has sealed fails one turn at most, also after a reload", async (t) => {
  const store = memoryStore();
  const sealed: ResponseItem = { type: "reasoning", summary: [], encrypted_content: "of-another-server" };
  const unread = '{"error":{"message":"The encrypted content gAAA... could not be verified."}}';
  const play = ({ input }: ModelRequest) => {
    const text = JSON.stringify(input);
    if (text.includes("of-another-server")) return [refusal(unread)];
    return text.includes("think") ? [say("read")] : [raw({ type: "item_done", item: sealed }), say("thought")];
  };
  const first = await ThreadManager.create({ model: scriptedClient(play), store });
  const { thread, threadId } = await first.startThread();
  assert.equal((await thread.run("first")).lastAgentMessage, "thought");
  assert.equal((await thread.run("think")).status, "failed");
  assert.equal((await thread.run("two")).lastAgentMessage, "read");
  await first.shutdown();
  const second = await ThreadManager.create({ model: scriptedClient(play), store });
  t.after(() => second.shutdown());
  const again = await second.resumeThread(threadId);
  assert.equal((await again.thread.run("three")).lastAgentMessage, "read");
});

test("half of a character, wherever it comes from, reaches no model", async (t) => {
  const { thread, model } = await bench(t, [[say("half: \ud83d")], "next"]);
  await thread.run("cut \ud83d here");
  await thread.run("again");
  const sent = JSON.stringify(model.requests.at(-1)?.input);
  for (const text of ["cut \ufffd here", "half: \ufffd"]) assert.ok(sent.includes(text), text);
  assert.doesNotMatch(sent, /\\ud83d/);
});
