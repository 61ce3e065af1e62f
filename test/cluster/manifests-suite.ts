/**
 * The manifests of examples/kubernetes: every object fits the type that the Kubernetes API has for it (an optional field
 * that is misspelt passes), and refers to what is there. The types come from npm (`kubernetes-models`, made from the API's own description).
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { engineCache, enginePackage } from "../../src/cli/engines/engine-package.ts";

const FOLDER = join(import.meta.dirname, "../../examples/kubernetes");
const TYPES = { title: "kubernetes-models", name: () => "kubernetes-models", version: "5.1.0", unpackedMb: 32 };

type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
};
type Model = new (data: object) => { validate(): void };

const manifestsIn = (file: string): Manifest[] =>
  parseAllDocuments(readFileSync(join(FOLDER, file), "utf8")).map((document) => {
    assert.deepEqual(document.errors, [], file);
    return document.toJS() as Manifest;
  });
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"));
const all = files.flatMap(manifestsIn);

function named(kind: string, name: string): Manifest {
  const found = all.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  assert.ok(found !== undefined, `${kind} ${name}`);
  return found;
}

/** The folder of a type is its API group: `apps/v1`, `v1`, `networking.k8s.io/v1`. */
function modelOf(types: string, { apiVersion, kind }: Manifest): Model {
  const path = join(types, apiVersion, `${kind}.js`);
  assert.ok(existsSync(path), `there is no ${apiVersion} ${kind}`);
  return (createRequire(import.meta.url)(path) as Record<string, Model>)[kind] as Model;
}

const check = (types: string, manifest: Manifest): void => new (modelOf(types, manifest))(manifest).validate();

suite("manifests", { timeout: 600_000 }, async () => {
  const types = await enginePackage(TYPES, { cache: engineCache(process.env) });

  for (const manifest of all) {
    test(`${manifest.kind} ${manifest.metadata.name} fits its type`, () => check(types, manifest));
  }

  test("one that does not fit is refused", () => {
    const set = all.find(({ kind }) => kind === "StatefulSet") as Manifest;
    const spec = set.spec as object;
    assert.throws(() => check(types, { ...set, spec: { ...spec, replicas: "three" } }), /replicas/);
    assert.throws(() => check(types, { ...set, spec: { ...spec, selector: undefined } }), /selector/);
  });

  test("services, budgets and policies choose pods that there are, and every port they name is one of a container's", () => {
    const pods = all.flatMap(({ spec }) => {
      const template = (spec as { template?: PodTemplate } | undefined)?.template;
      return template === undefined ? [] : [template];
    });
    const labels = pods.map(({ metadata }) => metadata.labels.app);
    for (const { kind, metadata, spec } of all) {
      const { selector, podSelector } = (spec ?? {}) as { selector?: Selector; podSelector?: Selector };
      const app = selector?.app ?? selector?.matchLabels?.app ?? podSelector?.matchLabels?.app;
      if (app !== undefined) assert.ok(labels.includes(app), `${kind} ${metadata.name} chooses ${app}`);
      assert.equal(metadata.namespace, "skein");
      if (kind !== "Service") continue;
      const container = pods.find((pod) => pod.metadata.labels.app === app)?.spec.containers[0];
      for (const { port } of (spec as { ports: { port: number }[] }).ports)
        assert.ok(
          container?.ports.some(({ containerPort }) => containerPort === port),
          `${metadata.name}: ${port}`,
        );
    }
  });

  test("workers get longer to end than their turns do", () => {
    const { spec } = (named("Deployment", "skein-worker").spec as { template: PodTemplate }).template;
    const drain = Number(/--drain=(\d+)/.exec(spec.containers[0]?.args?.join(" ") ?? "")?.[1]);
    assert.ok((spec.terminationGracePeriodSeconds ?? 0) > drain, `${spec.terminationGracePeriodSeconds} > ${drain}`);
  });

  test("HAProxy takes its configuration", {
    skip: !existsSync("/usr/sbin/haproxy") && "haproxy is not installed",
  }, () => {
    const { data } = named("ConfigMap", "skein-balancer");
    const folder = mkdtempSync(join(tmpdir(), "skein-haproxy-"));
    try {
      const path = join(folder, "haproxy.cfg");
      writeFileSync(path, (data as Record<string, string>)["haproxy.cfg"] ?? "");
      execFileSync("/usr/sbin/haproxy", ["-c", "-f", path], { stdio: "pipe" });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

type Selector = { readonly app?: string; readonly matchLabels?: { readonly app?: string } };
type PodTemplate = {
  readonly metadata: { readonly labels: { readonly app: string } };
  readonly spec: {
    readonly terminationGracePeriodSeconds?: number;
    readonly containers: readonly {
      readonly args?: readonly string[];
      readonly ports: readonly { readonly containerPort: number }[];
    }[];
  };
};
