/** `node --import`: a program that imports `skein` gets skein-over-cluster.ts. */
import { registerHooks } from "node:module";

const OVER_CLUSTER = new URL("./skein-over-cluster.ts", import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) => next(specifier === "skein" ? OVER_CLUSTER : specifier, context),
});
