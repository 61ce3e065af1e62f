/** Three restate-servers that are one cluster, whose data are kept twice: on ports of the loopback, or each in a network namespace. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EngineHost } from "../../src/cli/engines/engine-package.ts";
import { freePort } from "../../src/cli/engines/free-port.ts";
import { RestateEngine } from "../../src/cli/engines/restate-engine.ts";
import type { NodeNetwork, NodePlace } from "./node-network.ts";

const LOOPBACK: NodePlace = { ip: "127.0.0.1", prefix: [] };

/** The first one makes the cluster, the others join it. */
export async function startThreeNodes(host: EngineHost, network?: NodeNetwork): Promise<RestateEngine[]> {
  const program = await RestateEngine.program(host);
  const placeOf = (n: number) => network?.places[n] ?? LOOPBACK;
  const ports = [];
  for (let n = 0; n < 3; n += 1)
    ports.push({ ingress: await freePort(), admin: await freePort(), node: await freePort() });
  const addresses = ports.map(({ node }, n) => `"http://${placeOf(n).ip}:${node}/"`);
  const engines = ports.map((own, n) => {
    const { ip, prefix } = placeOf(n);
    const env = {
      RESTATE_CLUSTER_NAME: "three",
      RESTATE_AUTO_PROVISION: String(n === 0),
      RESTATE_DEFAULT_REPLICATION: "2",
      RESTATE_DEFAULT_NUM_PARTITIONS: "4",
      RESTATE_METADATA_CLIENT__TYPE: "replicated",
      RESTATE_METADATA_CLIENT__ADDRESSES: `[${addresses.join(", ")}]`,
      RESTATE_ADVERTISED_ADDRESS: `http://${ip}:${own.node}/`,
    };
    const folder = mkdtempSync(join(tmpdir(), "skein-restate-"));
    return new RestateEngine({ folder, program, prefix, ip, ports: own, nodeName: `n${n + 1}`, env });
  });
  for (const engine of engines) engine.launch();
  await Promise.all(engines.map((engine) => engine.untilHealthy()));
  return engines;
}
