// Boost.JSON is used header-only; this is the one file that has its code.
#include <boost/json/src.hpp>
