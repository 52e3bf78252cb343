// Boost.JSON and Boost.URL, compiled once for all who link this library.
#include <boost/json/src.hpp>
#include <boost/url/src.hpp>
