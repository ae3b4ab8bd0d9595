/* breaks.c: vocabularies in which one number is wrong, and which must be refused. */
#include <math.h>

#include "fuzz.h"
#include "words.h"

static int32_t outside(const vocabulary *v) {
    return one_in(2) ? (int32_t)v->model.vocab + (int32_t)rnd(2) : one_in(2) ? INT32_MAX : INT32_MIN + (int32_t)rnd(9);
}

/* Makes one number wrong. */
void break_vocabulary(vocabulary *v) {
    fe_model *const m = &v->model;
    const uint32_t token = rnd((uint32_t)m->tokens);
    v->broken = true;
    if (m->prefix_bytes && one_in(6)) {
        if (one_in(3)) m->unk = -1;
        else if (one_in(2)) m->prefix = -1;
        else m->word_chars = one_in(2) ? -1 : FE_MOST_WORD_CHARS + 1;
        return;
    }
    if (m->flags & FE_UNIGRAM && one_in(6)) {
        const double wrong[] = {HUGE_VAL, -HUGE_VAL, HUGE_VAL - HUGE_VAL};
        if (one_in(3)) m->unk = -1;
        else if (one_in(2) || !m->wholes) m->unk_score = wrong[rnd(3)];
        else v->whole_scores[rnd((uint32_t)m->wholes)] = wrong[rnd(3)];
        return;
    }
    switch (rnd(18)) {
    case 0: m->tokens = one_in(2) ? -1 : INT32_MAX; return;
    case 1: m->vocab = one_in(2) ? m->tokens + 1 : -1; return;
    case 2: m->pattern = one_in(2) ? FE_PATTERN_OWN : FE_PATTERN_PROGRAM + 1; return;
    case 3: m->unk = one_in(2) ? -2 : (int32_t)m->vocab; return;
    case 4: v->token_offsets[token] = one_in(2) ? -1 : v->token_offsets[m->tokens] + 1; return;
    case 5: v->token_ids[token] = -1 - (int32_t)rnd(9); return;
    case 6: v->byte_tokens[rnd(256)] = outside(v); return;
    case 7: m->merges = one_in(2) ? -1 : INT32_MAX; return;
    case 8: *(int64_t *[]){&m->chars, &m->pairs, &m->added, &m->notes, &m->before, &m->after}[rnd(6)] = -1; return;
    case 9: m->flags = (m->flags & ~(uint32_t)FE_BYTE_LEVEL) | FE_RANKED; return;
    case 10:
        if (m->tokens > 1) {
            v->token_ids[token] = v->token_ids[(token + 1) % (uint32_t)m->tokens];
            return;
        }
        break;
    case 11:
        if (m->merges) {
            int32_t *const of[] = {v->left, v->right, v->result};
            of[rnd(3)][rnd((uint32_t)m->merges)] = outside(v);
            return;
        }
        break;
    case 12:
        if (m->chars) {
            const uint32_t i = rnd((uint32_t)m->chars);
            if (one_in(2)) v->char_codes[i] = (m->flags & FE_AFFIXES ? 4u : 1u) * FE_PLACE + rnd(9999);
            else v->char_tokens[i] = outside(v);
            return;
        }
        break;
    case 13:
        if (m->added) {
            const uint32_t i = rnd((uint32_t)m->added);
            if (one_in(4)) v->added_flags[i] = 32;
            else if (one_in(2)) v->added_ids[i] = one_in(2) ? -1 : INT32_MAX;
            else v->added_offsets[i + 1] = one_in(2) ? v->added_offsets[i] : INT64_MIN + rnd(9);
            return;
        }
        break;
    case 14:
        if (m->normal) {
            if (one_in(3)) m->normal = one_in(2) ? -1 : m->normal - 1;
            else v->normal[rnd(2)] = (uint8_t)(128 + rnd(99)); /* beyond all kinds, and all flags of any */
            return;
        }
        break;
    case 15:
        if (m->wholes) {
            const uint32_t i = rnd((uint32_t)m->wholes);
            if (one_in(2)) v->whole_tokens[i] = outside(v);
            else v->whole_offsets[i + 1] = one_in(2) ? v->whole_offsets[i] : INT64_MIN + rnd(9);
            return;
        }
        break;
    case 16:
        if (m->flags & FE_RANKED) {
            v->byte_tokens[rnd(256)] = -1;
            return;
        }
        break;
    default:
        if (m->flags & FE_RANKED) { /* 'a' and 'b' are now the same */
            v->token_bytes[v->token_offsets[v->byte_tokens['a']]] = 'b';
            return;
        }
    }
    v->broken = false;
}
