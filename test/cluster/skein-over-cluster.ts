/** What an example has in place of `skein` when it runs over a cluster: its manager is the connection, whatever options it gives. */
import { connect } from "../../src/cluster/index.ts";

export { memoryStore } from "../../src/index.ts";

export const ThreadManager = { create: async () => connect({ ingress: process.env.SKEIN_INGRESS ?? "" }) };
