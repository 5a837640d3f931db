// The card's memory, of which kernels may touch what is taken and nothing else. It lies in one reserved piece of address
// space, with gaps between what is taken, so that an access that went astray is told from one of a thread's own stack.
#pragma once
#include <cstddef>
namespace emu {
char *take(size_t bytes);  // full of NaN; null where the space is used up
bool give(char *);         // false: was not taken
bool inside(const void *, size_t bytes);
bool astray();             // whether a checked kernel has touched something else since the last time
}
