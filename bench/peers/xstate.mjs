import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assign, createActor, setup } from "xstate";
import { check, messagesOf, TEXT } from "./words.mjs";

/** A conversation and nothing else: the floor of what any runtime on XState costs. */
const machine = setup({}).createMachine({
  context: ({ input }) => ({ messages: input ?? [] }),
  on: {
    say: {
      actions: assign({
        messages: ({ context, event }) => [
          ...context.messages,
          { role: "user", content: event.text },
          { role: "assistant", content: TEXT },
        ],
      }),
    },
  },
});

const begun = (options) => createActor(machine, options).start();

export const peer = {
  name: "raw XState, snapshots in files",
  version: process.env.SKEIN_PEER_VERSION,
  async open(folder) {
    let made = 0;
    return {
      start: async () => begun({ input: [] }),
      message: async (actor, text) => actor.send({ type: "say", text }),
      async build(messages) {
        const actor = begun({ input: messagesOf(messages) });
        const path = join(folder, `${messages}.json`);
        writeFileSync(path, JSON.stringify(actor.getPersistedSnapshot()));
        return { actor, path };
      },
      async fork({ actor }, kept) {
        const snapshot = actor.getPersistedSnapshot();
        const messages = snapshot.context.messages.slice(0, kept);
        const fork = begun({ snapshot: { ...snapshot, context: { messages } } });
        made += 1;
        writeFileSync(join(folder, `fork-${made}.json`), JSON.stringify(fork.getPersistedSnapshot()));
      },
      async reopen({ path }, messages) {
        const actor = begun({ snapshot: JSON.parse(readFileSync(path, "utf8")) });
        check(actor.getSnapshot().context.messages.length, messages);
      },
    };
  },
};
