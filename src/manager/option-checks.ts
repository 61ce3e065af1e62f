/** Options as they come from a program: each is known by name, and each port has the shape of one. */
import type { AnyActorLogic } from "xstate";
import { checkObject } from "../protocol/call-options.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { didYouMean } from "../protocol/nearest-name.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import type { PersistentLogic } from "../thread/own-logic.ts";
import { PERSIST_KINDS } from "../thread/persist-kinds.ts";

/** The name of the logic that Skein has. */
export const BUILT_IN_LOGIC = "built-in";

const hasMethods = (value: unknown, ...names: readonly string[]): boolean =>
  typeof value === "object" && value !== null && names.every((name) => typeof Reflect.get(value, name) === "function");

export const isLogic = (value: unknown): value is AnyActorLogic =>
  hasMethods(value, "transition", "getInitialSnapshot", "getPersistedSnapshot");

/** A machine with how its state is kept. */
export const isPersistent = (value: unknown): value is PersistentLogic =>
  isJsonObject(value) &&
  value.persist === "snapshot" &&
  hasMethods(value.logic, "restoreSnapshot", "provide") &&
  Object.entries(value).every(([name, given]) => name === "logic" || isPersistOption(name, given));

const isPersistOption = (name: string, given: unknown): boolean =>
  Object.hasOwn(PERSIST_KINDS, name) && (given === undefined || PERSIST_KINDS[name]?.(given) === undefined);

const isClient = (value: unknown): boolean =>
  hasMethods(value, "stream") && typeof Reflect.get(value as object, "providerId") === "string";
const isText = (value: unknown): boolean => typeof value === "string" && value !== "";
const isModelSource = (value: unknown): boolean =>
  hasMethods(value, "clientFor") && typeof Reflect.get(value as object, "providerId") === "string";

const isAmount = (value: unknown): boolean => typeof value === "number" && value >= 0 && Number.isFinite(value);
const isPrice = (value: unknown): boolean =>
  isJsonObject(value) &&
  isAmount(value.input) &&
  isAmount(value.output) &&
  (value.cachedInput === undefined || isAmount(value.cachedInput));

type Check = { readonly fits: (value: unknown) => boolean; readonly wanted: string };
const anything: Check = { fits: () => true, wanted: "" };
const group: Check = { fits: isJsonObject, wanted: "an object" };
const port = (wanted: string, ...methods: readonly string[]): Check => ({
  fits: (value) => hasMethods(value, ...methods),
  wanted: `${wanted} (with ${methods.map((name) => `\`${name}\``).join(", ")})`,
});

const STORE_METHODS =
  "create fork adopt open header load forkBase findTurn get list ancestors descendants rename setGitInfo archive unarchive delete close";

/** What each option has to be. `anything` is checked where it is read. */
const OPTIONS: Readonly<Record<string, Check>> = {
  home: { fits: isText, wanted: "the path of a folder" },
  store: port("a ThreadStore", ...STORE_METHODS.split(" ")),
  model: {
    fits: (value) => isClient(value) || isModelSource(value),
    wanted: "a ModelClient (with `providerId` and `stream`) or a ModelSource (with `providerId` and `clientFor`)",
  },
  tools: { fits: Array.isArray, wanted: "an array of tools, as made by `tool(...)`" },
  config: group,
  mcpServers: group,
  environment: group,
  auth: port("an AuthManager", "status", "apiKey", "accessToken", "account", "loginWithApiKey", "logout", "reload"),
  models: port("a ModelsManager", "listModels", "defaultModel", "contextWindow", "knows", "noteEtag"),
  skills: port("a SkillsManager", "skillsFor", "injectionFor"),
  instructions: { fits: (value) => typeof value === "function", wanted: "a function of a working directory" },
  sessionSource: anything,
  originator: { fits: isText, wanted: "a text" },
  limits: group,
  prices: {
    fits: (value) => typeof value === "function" || (isJsonObject(value) && Object.values(value).every(isPrice)),
    wanted: "an object of prices by model, each `{ input, cachedInput?, output }` for a million tokens, or a function",
  },
  newFiles: {
    fits: (value) => value === "at-start" || value === "with-first-line",
    wanted: "`at-start` or `with-first-line`",
  },
  timers: { fits: (value) => value === "all" || value === "own", wanted: "`all` or `own`" },
  residency: group,
  supervision: group,
  logger: port("a logger of pino's shape", "debug", "info", "warn", "error"),
  inspect: {
    fits: (value) => typeof value === "function" || hasMethods(value, "next"),
    wanted: "an inspector of XState's: a function, or an observer (with `next`)",
  },
  clock: port("a Clock", "now", "setTimeout", "background", "clearTimeout"),
  threadLogic: {
    fits: (value) => isLogic(value) || isPersistent(value) || typeof value === "function",
    wanted: "an XState logic (fromCallback, fromPromise, a machine, ...) or a function that chooses one",
  },
  logics: {
    fits: (value) =>
      isJsonObject(value) &&
      !Object.hasOwn(value, BUILT_IN_LOGIC) &&
      Object.values(value).every((one) => isLogic(one) || isPersistent(one)),
    wanted: `an object of XState logics by their names (\`${BUILT_IN_LOGIC}\` is Skein's own); of a machine also \`{ logic, persist: "snapshot" }\``,
  },
};

/** @throws InvalidRequestError that names the first wrong option, and for an unknown one the nearest known one */
export function checkOptions(options: unknown): void {
  checkObject("options", options);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const check = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
    if (check === undefined) {
      throw new InvalidRequestError(`options: unknown option \`${name}\`${didYouMean(name, Object.keys(OPTIONS))}`);
    }
    if (!check.fits(value)) throw new InvalidRequestError(`${name}: must be ${check.wanted}`);
  }
}
