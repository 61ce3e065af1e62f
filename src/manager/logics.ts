/** Which logic a thread has: the one that its header or its config names, or else the manager's. */
import type { AnyActorLogic } from "xstate";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { messagesOf, persistOf } from "../thread/define-thread-logic.ts";
import type { ChosenLogic, PersistentLogic } from "../thread/own-logic.ts";
import { withCleanup } from "../thread/with-cleanup.ts";
import { BUILT_IN_LOGIC, isLogic, isPersistent } from "./option-checks.ts";
import type { ManagerSetup } from "./options.ts";

/** How a logic's state is kept, where it is. */
function keptBy(given: AnyActorLogic | PersistentLogic): ChosenLogic["keeps"] {
  if (!isLogic(given)) return { what: "snapshot", how: given };
  const how = persistOf(given);
  return how === undefined ? undefined : { what: "state", how };
}

export class Logics {
  readonly #setup: Pick<ManagerSetup, "threadLogic" | "logics">;
  readonly #builtIn: ChosenLogic;
  readonly #own = new WeakMap<object, ChosenLogic>();

  constructor(setup: Pick<ManagerSetup, "threadLogic" | "logics">, builtIn: AnyActorLogic) {
    this.#setup = setup;
    this.#builtIn = { logic: withCleanup(builtIn), isOwn: false, handlesMessages: false };
  }

  /** Whether threads of this manager may have a logic by its name. */
  get haveNames(): boolean {
    return Object.keys(this.#setup.logics).length > 0;
  }

  /** The settings with the name of their logic, where it has one. @throws InvalidRequestError for a name that nobody knows */
  named(config: ResolvedThreadConfig): ResolvedThreadConfig {
    const { threadLogic } = this.#setup;
    if (config.logic !== undefined) {
      this.#find(config.logic);
      return config;
    }
    if (typeof threadLogic !== "function") return config;
    const chosen = threadLogic(config);
    if (typeof chosen !== "string") return config;
    this.#find(chosen);
    return { ...config, logic: chosen };
  }

  /** @throws InvalidRequestError for a name that nobody knows, and for a function that gives no logic */
  of(config: ResolvedThreadConfig): ChosenLogic {
    if (config.logic !== undefined) return this.#find(config.logic);
    const { threadLogic } = this.#setup;
    if (threadLogic === undefined) return this.#builtIn;
    const chosen = typeof threadLogic === "function" ? threadLogic(config) : threadLogic;
    if (typeof chosen === "string") return this.#find(chosen);
    if (!isLogic(chosen) && !isPersistent(chosen)) {
      throw new InvalidRequestError("threadLogic: the function must give an XState logic, or a name out of `logics`");
    }
    return this.#wrapped(chosen);
  }

  #find(name: string): ChosenLogic {
    const { logics } = this.#setup;
    const logic = Object.hasOwn(logics, name) ? logics[name] : undefined;
    if (logic !== undefined) return this.#wrapped(logic);
    if (name === BUILT_IN_LOGIC) return this.#builtIn;
    const known = [...Object.keys(logics), BUILT_IN_LOGIC].map((each) => `\`${each}\``).join(", ");
    throw new InvalidRequestError(`logic: this manager has no logic \`${name}\`; its \`logics\` are ${known}`);
  }

  #wrapped(given: AnyActorLogic | PersistentLogic): ChosenLogic {
    const known = this.#own.get(given);
    if (known !== undefined) return known;
    const logic = isLogic(given) ? given : given.logic;
    const messages = messagesOf(given);
    const handlesMessages = messages !== undefined;
    const chosen = { logic: withCleanup(logic), isOwn: true, keeps: keptBy(given), messages, handlesMessages };
    this.#own.set(given, chosen);
    return chosen;
  }
}
