# Finds TensorFlow Lite Micro for ENGINE=tflm; the Makefile includes this file. Sets TFLM_INCLUDE_FLAGS, TFLM_FLAGS and
# TFLM_ARCHIVE.
#
#   TFLM_ROOT       its include tree and static library, as its own build or a vendor's lays them out
#   TFLM_INCLUDES   folders of headers, relative to the root
#   TFLM_LIBRARY    the library, relative to the root
#   TFLM_FLAGS      compiler flags that the library was built with (-DCMSIS_NN ...)
#
# The last three come from the command line, the environment, the file TFLM_ROOT/tflm-kit.conf (KEY=VALUE), or are looked
# for, in this order.

# The one sentence for whoever has none; kit and CMake say the same.
TFLM_HELP := $(shell sed -n 1p engines/tflm/how_to_get.txt)
ifeq ($(TFLM_ROOT),)
$(error ENGINE=tflm, but TFLM_ROOT is not set: $(TFLM_HELP))
endif
ifneq ($(words $(TFLM_ROOT)),1)
$(error TFLM_ROOT has spaces in its name, which make does not take)
endif
ifeq ($(wildcard $(TFLM_ROOT)/.),)
$(error TFLM_ROOT=$(TFLM_ROOT) is no folder (relative paths begin at $(CURDIR)): $(TFLM_HELP))
endif

tflm_conf = $(shell sed -n 's/^[[:space:]]*$(1)[[:space:]]*=//p' $(wildcard $(TFLM_ROOT)/tflm-kit.conf) /dev/null)
tflm_setting = $(if $(filter undefined,$(origin $(1))),$(call tflm_conf,$(1)),$($(1)))

TFLM_INCLUDES := $(call tflm_setting,TFLM_INCLUDES)
TFLM_LIBRARY := $(strip $(call tflm_setting,TFLM_LIBRARY))
TFLM_FLAGS := $(strip $(call tflm_setting,TFLM_FLAGS))

TFLM_DOWNLOADS := tensorflow/lite/micro/tools/make/downloads
TFLM_INCLUDES_DEFAULT := . include third_party/flatbuffers/include third_party/gemmlowp third_party/ruy \
    third_party/kissfft $(addprefix $(TFLM_DOWNLOADS)/,flatbuffers/include gemmlowp ruy kissfft)
ifeq ($(strip $(TFLM_INCLUDES)),)
TFLM_INCLUDES := $(foreach folder,$(TFLM_INCLUDES_DEFAULT),$(if $(wildcard $(TFLM_ROOT)/$(folder)/.),$(folder)))
endif
ifeq ($(TFLM_FLAGS),)
TFLM_FLAGS := -DTF_LITE_STATIC_MEMORY
endif
ifeq ($(TFLM_LIBRARY),)
TFLM_FOUND := $(wildcard $(addprefix $(TFLM_ROOT)/,lib/libtensorflow-microlite.a libtensorflow-microlite.a \
    gen/*/lib/libtensorflow-microlite.a))
ifeq ($(words $(TFLM_FOUND)),0)
$(error TFLM_ROOT=$(TFLM_ROOT) has no libtensorflow-microlite.a, nor one in lib or gen/*/lib; name it in TFLM_LIBRARY, \
or $(TFLM_HELP))
endif
ifneq ($(words $(TFLM_FOUND)),1)
$(error TFLM_ROOT=$(TFLM_ROOT) has several libraries; set TFLM_LIBRARY to one of: $(TFLM_FOUND:$(TFLM_ROOT)/%=%))
endif
TFLM_LIBRARY := $(TFLM_FOUND:$(TFLM_ROOT)/%=%)
endif
TFLM_ARCHIVE := $(TFLM_ROOT)/$(TFLM_LIBRARY)
ifeq ($(wildcard $(TFLM_ARCHIVE)),)
$(error TFLM_ROOT=$(TFLM_ROOT) has no $(TFLM_LIBRARY), which TFLM_LIBRARY names)
endif
ifeq ($(wildcard $(foreach folder,$(TFLM_INCLUDES),$(TFLM_ROOT)/$(folder)/tensorflow/lite/micro/micro_interpreter.h)),)
$(error TFLM_ROOT=$(TFLM_ROOT): tensorflow/lite/micro/micro_interpreter.h is in none of: $(strip $(TFLM_INCLUDES)); name \
its folder in TFLM_INCLUDES, or $(TFLM_HELP))
endif

# System headers: their warnings are not ours to fix.
TFLM_INCLUDE_FLAGS := $(foreach folder,$(TFLM_INCLUDES),-isystem $(TFLM_ROOT)/$(folder))
