# TensorFlow Lite Micro for CMake projects: what tflm.mk does for make. TFLM_ROOT, TFLM_INCLUDES, TFLM_LIBRARY and
# TFLM_FLAGS come from the cache (-D), the environment, or TFLM_ROOT/tflm-kit.conf, or are looked for.
enable_language(CXX)

foreach(name TFLM_ROOT TFLM_INCLUDES TFLM_LIBRARY TFLM_FLAGS)
    set(${name} "$ENV{${name}}" CACHE STRING "See firmware/engines/tflm/tflm.mk")
endforeach()
if(NOT TFLM_ROOT)
    message(FATAL_ERROR "KIT_ENGINE=tflm needs TFLM_ROOT=DIR: headers and static library of TensorFlow Lite Micro, from "
                        "its own build, Zephyr, ESP-IDF, a CMSIS-Pack or an Arduino library; see docs/tflm.md of the kit")
endif()
get_filename_component(tflm_root "${TFLM_ROOT}" ABSOLUTE BASE_DIR "${CMAKE_SOURCE_DIR}")

# name = what the cache or the environment says, else the file's line, as a list.
function(kit_tflm_setting name result)
    set(value "${${name}}")
    if(NOT value AND EXISTS "${tflm_root}/tflm-kit.conf")
        file(STRINGS "${tflm_root}/tflm-kit.conf" lines REGEX "^[ \t]*${name}[ \t]*=")
        foreach(line ${lines})
            string(REGEX REPLACE "^[ \t]*${name}[ \t]*=" "" value "${line}")
        endforeach()
    endif()
    separate_arguments(value)
    set(${result} "${value}" PARENT_SCOPE)
endfunction()

kit_tflm_setting(TFLM_INCLUDES tflm_includes)
kit_tflm_setting(TFLM_LIBRARY tflm_library)
kit_tflm_setting(TFLM_FLAGS tflm_flags)
set(tflm_downloads tensorflow/lite/micro/tools/make/downloads)
if(NOT tflm_includes)
    foreach(folder . include third_party/flatbuffers/include third_party/gemmlowp third_party/ruy third_party/kissfft
            ${tflm_downloads}/flatbuffers/include ${tflm_downloads}/gemmlowp ${tflm_downloads}/ruy
            ${tflm_downloads}/kissfft)
        if(IS_DIRECTORY "${tflm_root}/${folder}")
            list(APPEND tflm_includes ${folder})
        endif()
    endforeach()
endif()
if(NOT tflm_flags)
    set(tflm_flags -DTF_LITE_STATIC_MEMORY)
endif()
if(NOT tflm_library)
    file(GLOB found RELATIVE "${tflm_root}" "${tflm_root}/lib/libtensorflow-microlite.a"
         "${tflm_root}/libtensorflow-microlite.a" "${tflm_root}/gen/*/lib/libtensorflow-microlite.a")
    list(LENGTH found count)
    if(count GREATER 1)
        message(FATAL_ERROR "TFLM_ROOT=${TFLM_ROOT} has several libraries; set TFLM_LIBRARY to one of: ${found}")
    endif()
    set(tflm_library "${found}")
endif()
if(NOT tflm_library OR NOT EXISTS "${tflm_root}/${tflm_library}")
    message(FATAL_ERROR "TFLM_ROOT=${TFLM_ROOT} has no library ${tflm_library}; set TFLM_LIBRARY, see docs/tflm.md")
endif()

function(kit_link_tflm target)
    foreach(folder ${tflm_includes})
        target_include_directories(${target} SYSTEM PRIVATE "${tflm_root}/${folder}")
    endforeach()
    set_target_properties(${target} PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:CXX>:${tflm_flags} -fno-exceptions -fno-rtti -fno-threadsafe-statics>)
    target_link_libraries(${target} PUBLIC "${tflm_root}/${tflm_library}")
endfunction()
