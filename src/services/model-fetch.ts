import * as z from "zod";
import { InvalidRequestError } from "../protocol/errors.ts";
import { parseWith } from "../protocol/validation.ts";
import type { RemoteModel } from "./model-catalog.ts";

/** What a server answered: its list, or that the list of the given ETag still holds. */
export type FetchedModels =
  | { readonly notModified: true }
  | { readonly notModified: false; readonly etag?: string | undefined; readonly body: unknown };

/**
 * Asks a server for its models: the port through which the network is reached. May reject; the signal fires when the
 * answer is no longer waited for.
 */
export type FetchModels = (request: {
  readonly etag: string | undefined;
  readonly signal: AbortSignal;
}) => Promise<FetchedModels>;

const codexModelSchema = z.looseObject({
  slug: z.string().min(1),
  display_name: z.string().nullish(),
  description: z.string().nullish(),
  default_reasoning_level: z.string().nullish(),
  supported_reasoning_levels: z
    .array(z.looseObject({ effort: z.string(), description: z.string().nullish() }))
    .nullish(),
  visibility: z.string().nullish(),
  supported_in_api: z.boolean().nullish(),
  priority: z.number().nullish(),
  context_window: z.number().nullish(),
  service_tiers: z
    .array(z.looseObject({ id: z.string(), name: z.string(), description: z.string().nullish() }))
    .nullish(),
});

/** Codex's own list, or the list of any server of the OpenAI API (Ollama, vLLM, LM Studio and the like). */
const listSchema = z.looseObject({
  models: z.array(codexModelSchema).optional(),
  data: z.array(z.looseObject({ id: z.string().min(1) })).optional(),
});

/** A list as it was read, and as Codex writes it. */
export type ModelList = { readonly models: readonly RemoteModel[]; readonly raw: readonly unknown[] };

/**
 * Reads a server's list of models, in either form.
 *
 * @throws InvalidRequestError that says what is wrong with it.
 */
export function parseModelList(body: unknown): ModelList {
  const { models, data } = parseWith(listSchema, body, "model list");
  const raw = models ?? data?.map(({ id }, priority): CodexModel => ({ slug: id, priority }));
  if (raw === undefined) throw new InvalidRequestError("model list: has neither `models` nor `data`");
  return { raw, models: raw.map(ofCodex) };
}

type CodexModel = z.infer<typeof codexModelSchema>;

function ofCodex(model: CodexModel): RemoteModel {
  const hidden = model.visibility !== undefined && model.visibility !== null && model.visibility !== "list";
  return {
    preset: {
      id: model.slug,
      model: model.slug,
      displayName: model.display_name ?? model.slug,
      description: model.description ?? "",
      defaultReasoningEffort: model.default_reasoning_level ?? "medium",
      supportedReasoningEfforts: (model.supported_reasoning_levels ?? []).map(({ effort, description }) => ({
        effort,
        description: description ?? "",
      })),
      isDefault: false,
      ...(hidden && { hidden }),
      ...(model.service_tiers?.length && {
        serviceTiers: model.service_tiers.map(({ id, name, description }) => ({
          id,
          name,
          description: description ?? "",
        })),
      }),
    },
    priority: model.priority ?? 0,
    supportedInApi: model.supported_in_api ?? true,
    contextWindow: model.context_window ?? undefined,
  };
}
