/** Two processes on one home, killed at random under concurrent turns and forks: each submission takes effect once, each turn ends once. */
import { test } from "node:test";
import { fileStore } from "../../src/index.ts";
import { KILLS, playChaos } from "./chaos.ts";
import { tempFolder } from "./killed.ts";

test(`${KILLS} kills: no submission is lost or doubled, no turn has two ends, and forks have what their source had`, async () => {
  using home = tempFolder();
  const store = fileStore({ home: home.path, fsync: "never" });
  await playChaos(store, { kind: "file", place: home.path }, home.path);
  await store.close();
});
