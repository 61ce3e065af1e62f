/** The JSON schemas that the stock binary prints of its protocol, and what of a message breaks them. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";

type Schema = { definitions?: Record<string, unknown>; oneOf: Variant[] };
type Variant = { properties: { method: { enum: [string] }; params?: { $ref?: string } } };
type Message = { id?: unknown; method?: string; params?: unknown; result?: unknown; error?: unknown };

/** Whose answer is not named as its params are. */
const ANSWERS: Record<string, string> = {
  initialize: "v1/InitializeResponse",
  "account/login/cancel": "v2/CancelLoginAccountResponse",
  "account/logout": "v2/LogoutAccountResponse",
  "account/rateLimits/read": "v2/GetAccountRateLimitsResponse",
  "config/value/write": "v2/ConfigWriteResponse",
  "config/batchWrite": "v2/ConfigWriteResponse",
  "configRequirements/read": "v2/ConfigRequirementsReadResponse",
  fuzzyFileSearch: "FuzzyFileSearchResponse",
  addConversationListener: "v1/AddConversationSubscriptionResponse",
  removeConversationListener: "v1/RemoveConversationSubscriptionResponse",
  getUserAgent: "v1/GetUserAgentResponse",
  getUserSavedConfig: "v1/GetUserSavedConfigResponse",
  logoutChatGpt: "v1/LogoutChatGptResponse",
  userInfo: "v1/UserInfoResponse",
};
const EVENT = "codex/event/";

export class Schemas {
  readonly #folder: string;
  readonly #ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
  readonly #told: Map<string, ValidateFunction>;
  readonly #asked: Map<string, ValidateFunction>;
  #event: ValidateFunction | undefined;
  readonly #answers = new Map<string, ValidateFunction | undefined>();
  readonly #answerNames = new Map<string, string>(Object.entries(ANSWERS));

  constructor(folder: string) {
    this.#folder = folder;
    this.#told = this.#variants("ServerNotification");
    this.#asked = this.#variants("ServerRequest");
    for (const { properties } of this.#read("ClientRequest").oneOf) {
      const [method] = properties.method.enum;
      const params = properties.params?.$ref?.split("/").at(-1);
      if (params === undefined || this.#answerNames.has(method)) continue;
      const name = params.replace(/^Nullable/, "").replace(/Params$/, "Response");
      this.#answerNames.set(method, this.#has(`v2/${name}`) ? `v2/${name}` : `v1/${name}`);
    }
  }

  /** @throws Error when the binary prints none */
  static printedBy(binary: string, { folder, args = [] }: { folder: string; args?: readonly string[] }): Schemas {
    const printed = spawnSync(binary, ["app-server", "generate-json-schema", ...args, "--out", folder], {
      encoding: "utf8",
    });
    if (printed.status !== 0) throw new Error(`codex prints no schemas: ${printed.stderr}`);
    return new Schemas(folder);
  }

  #has(name: string): boolean {
    return existsSync(join(this.#folder, `${name}.json`));
  }

  #read(name: string): Schema {
    return JSON.parse(readFileSync(join(this.#folder, `${name}.json`), "utf8")) as Schema;
  }

  #variants(name: string): Map<string, ValidateFunction> {
    const { oneOf, definitions } = this.#read(name);
    return new Map(
      oneOf.map((variant) => [variant.properties.method.enum[0], this.#ajv.compile({ ...variant, definitions })]),
    );
  }

  /** What is wrong with a message of the server's, the request's method given when it is an answer. */
  problemsOf(message: Message, answered?: string): string[] {
    if (message.error !== undefined) return [];
    if (message.method === undefined)
      return this.#check(`answer ${answered}`, this.#answerOf(answered), message.result);
    if (message.method.startsWith(EVENT)) return this.#eventProblems(message);
    const known = message.id === undefined ? this.#told : this.#asked;
    return this.#check(message.method, known.get(message.method), message);
  }

  /** v1's events are bare of what is not known, unlike all else; of raw items the schema asks for ids that stock leaves out. */
  #eventProblems({ method = "", params }: Message): string[] {
    this.#event ??= this.#ajv.compile(this.#read("EventMsg"));
    const { msg } = params as { msg: { type: string } };
    const isNamed = msg.type === method.slice(EVENT.length);
    return [
      ...(isNamed ? [] : [`${method}: says ${msg.type}`]),
      ...(msg.type === "raw_response_item" || this.#event(msg)
        ? []
        : [`${method}: ${JSON.stringify(this.#event.errors?.at(-1)?.message)}`]),
    ];
  }

  #answerOf(method = ""): ValidateFunction | undefined {
    if (this.#answers.has(method)) return this.#answers.get(method);
    const name = this.#answerNames.get(method);
    const validate = name !== undefined && this.#has(name) ? this.#ajv.compile(this.#read(name)) : undefined;
    this.#answers.set(method, validate);
    return validate;
  }

  #check(label: string, validate: ValidateFunction | undefined, value: unknown): string[] {
    if (validate === undefined) return [`${label}: the protocol has no such message`];
    if (validate(value)) return this.#absences(label, validate, value);
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) => `${label}${instancePath}: ${message} ${JSON.stringify(params)}`,
    );
  }

  /** The real server leaves no optional member out; strict clients need them. Those of the value itself are looked at. */
  #absences(label: string, { schema }: ValidateFunction, value: unknown): string[] {
    if (SPARSE.has(label)) return [];
    if (typeof schema !== "object" || typeof value !== "object" || value === null) return [];
    return absent(label, schema as Node, value, (schema as { definitions?: Record<string, Node> }).definitions ?? {});
  }
}

/** Messages whose unset members the real server leaves out (transcripts of 0.169, t169_tool). */
const SPARSE: ReadonlySet<string> = new Set(["item/commandExecution/requestApproval"]);

type Node = {
  $ref?: string;
  allOf?: Node[];
  anyOf?: Node[];
  oneOf?: Node[];
  properties?: Record<string, Node & { enum?: unknown[]; const?: unknown; default?: unknown }>;
  items?: Node;
  type?: string | string[];
};

function absent(path: string, given: Node, value: unknown, definitions: Record<string, Node>): string[] {
  const node = resolve(given, value, definitions);
  if (node === undefined || typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) {
    const { items } = node;
    return items === undefined ? [] : value.flatMap((each) => absent(`${path}[]`, items, each, definitions));
  }
  const members = value as Record<string, unknown>;
  return Object.entries(node.properties ?? {}).flatMap(([name, property]) =>
    name in members
      ? absent(`${path}/${name}`, property, members[name], definitions)
      : isAlwaysSent(property)
        ? [`${path}/${name}: left out`]
        : [],
  );
}

/** The real server leaves out a flag that is not set, but sends what may be null, and lists. */
const isAlwaysSent = ({ type, anyOf }: Node): boolean =>
  [type ?? []].flat().some((each) => each === "null" || each === "array") ||
  (anyOf ?? []).some((branch) => branch.type === "null");

/** The branch of a union that the value is of, by its `type` or `method`; null fits none. */
function resolve(node: Node, value: unknown, definitions: Record<string, Node>): Node | undefined {
  if (node.$ref !== undefined) {
    const found = definitions[node.$ref.split("/").at(-1) ?? ""];
    return found === undefined ? undefined : resolve(found, value, definitions);
  }
  if (node.allOf?.length === 1 && node.allOf[0] !== undefined) return resolve(node.allOf[0], value, definitions);
  const union = node.anyOf ?? node.oneOf;
  if (union === undefined) return node;
  const branches = union.flatMap((each) => resolve(each, value, definitions) ?? []);
  const objects = branches.filter(({ properties }) => properties !== undefined);
  if (objects.length === 1) return objects[0];
  const tag = (value as { type?: unknown } | null)?.type;
  return tag === undefined ? undefined : objects.find(({ properties }) => properties?.type?.enum?.[0] === tag);
}
