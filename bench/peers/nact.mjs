import { dispatch, query, spawn, start } from "nact";
import { check, messagesOf, TEXT } from "./words.mjs";

/** Actors without a store: no history is opened again. */
export const peer = {
  name: "nact, in memory",
  version: process.env.SKEIN_PEER_VERSION,
  async open() {
    const system = start();
    let made = 0;
    const actor = (initialState) => {
      made += 1;
      const behave = (state, { text, read, to }) => {
        if (read !== undefined) {
          dispatch(to, state.slice(0, read));
          return state;
        }
        dispatch(to, TEXT);
        return [...state, { role: "user", content: text }, { role: "assistant", content: TEXT }];
      };
      return spawn(system, behave, `thread-${made}`, { initialState });
    };
    const ask = (thread, message) => query(thread, (to) => ({ ...message, to }), 10_000);
    return {
      start: async () => actor([]),
      message: (thread, text) => ask(thread, { text }),
      build: async (messages) => actor(messagesOf(messages)),
      async fork(thread, kept) {
        const fork = actor(await ask(thread, { read: kept }));
        check((await ask(fork, { read: Number.POSITIVE_INFINITY })).length, kept);
      },
    };
  },
};
