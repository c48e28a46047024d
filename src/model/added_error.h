// How far the numbers that are multiplied are from those that are stored.
#pragma once

#include "base/thread_pool.h"
#include "gyrator/model.h"
#include "model/loader.h"

namespace gyrator {

// sqrt(sum (w - w')^2 / sum w^2) over every matrix that is multiplied (a tied embedding is one, as
// the head): w as stored, w' as an operand of model.compute. 0 when no conversion rounds. Converts
// all weights once more, piece by piece, and keeps none; the sums do not depend on the threads.
// Progress "measuring weights" counts stored bytes.
double AddedError(const LoadedModel& model, ThreadPool* threads, const Progress& progress);

}  // namespace gyrator
