/** Makes a network, says so, and waits to be killed. */
import { NodeNetwork } from "./node-network.ts";

NodeNetwork.create(1);
process.stdout.write("made\n");
setInterval(() => undefined, 60_000);
