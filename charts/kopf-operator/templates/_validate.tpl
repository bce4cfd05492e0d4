{{/* What contradicts itself is refused here too, as a schema can be skipped and its messages name no way out. */}}
{{- define "kopf-operator.validate" -}}
{{- include "kopf-operator.validateGroups" . -}}
{{- $election := .Values.leaderElection -}}
{{- if and (gt (int .Values.replicaCount) 1) (not $election.enabled) -}}
{{- fail (printf "replicaCount is %d without an election, and each replica would handle every object: set leaderElection.enabled to true, or replicaCount to 1." (int .Values.replicaCount)) -}}
{{- end -}}
{{- if $election.enabled -}}
{{- include "kopf-operator.validateTimings" . -}}
{{- end -}}
{{- include "kopf-operator.validateCode" . -}}
{{- include "kopf-operator.validateNames" . -}}
{{- include "kopf-operator.validateOwn" . -}}
{{- if and .Values.strategy (not $election.enabled) (ne (toString .Values.strategy.type) "Recreate") -}}
{{- fail "strategy is not Recreate without an election, and during an update two replicas would handle every object: leave strategy empty, or set leaderElection.enabled to true." -}}
{{- end -}}
{{- if .Values.fencing.enabled -}}
{{- include "kopf-operator.validateFencing" . -}}
{{- end -}}
{{- if and .Values.scope.clusterWide .Values.scope.namespaces -}}
{{- fail "scope.clusterWide and scope.namespaces contradict each other: set one of them." -}}
{{- end -}}
{{- range tuple "podMonitor" "prometheusRule" "dashboard" -}}
{{- if and (get $.Values.metrics .).enabled (not $.Values.metrics.enabled) -}}
{{- fail (printf "metrics.%s.enabled needs metrics.enabled: set both to true." .) -}}
{{- end -}}
{{- end -}}
{{- range tuple "prometheusRule" "dashboard" -}}
{{- if and (get $.Values.metrics .).enabled (not $election.enabled) -}}
{{- fail (printf "metrics.%s.enabled is about the election, and there is none: set leaderElection.enabled to true, or this to false." .) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^([0-9]+(ms|s|m|h))+$" (toString .Values.metrics.podMonitor.interval)) -}}
{{- fail (printf "metrics.podMonitor.interval is %q, which Prometheus does not read: write whole numbers with units (\"30s\")." (toString .Values.metrics.podMonitor.interval)) -}}
{{- end -}}
{{- $interval := float64 (include "kopf-operator.seconds" (dict "key" "metrics.podMonitor.interval" "value" .Values.metrics.podMonitor.interval)) -}}
{{- if and .Values.metrics.prometheusRule.enabled (gt $interval 120.0) -}}
{{- fail (printf "metrics.podMonitor.interval is %s, and Prometheus forgets what is older than five minutes: set it to 2m at most, or metrics.prometheusRule.enabled to false." .Values.metrics.podMonitor.interval) -}}
{{- end -}}
{{- $grace := include "kopf-operator.gracePeriod" . -}}
{{- if lt (float64 $grace) (float64 (include "kopf-operator.stopping" .)) -}}
{{- fail (printf "terminationGracePeriodSeconds is %s, below the %s that a stop may take (leaderElection.drainTimeout is %s, kopf takes five seconds more): raise it, or leave it null to have it derived." $grace (include "kopf-operator.stopping" .) (toString $election.drainTimeout)) -}}
{{- end -}}
{{- end -}}

{{/* A group whose values are all commented out is null, which takes its defaults away. */}}
{{- define "kopf-operator.validateGroups" -}}
{{- $groups := dict "metrics.podMonitor" (list .Values.metrics "podMonitor") "metrics.prometheusRule" (list .Values.metrics "prometheusRule") "metrics.dashboard" (list .Values.metrics "dashboard") -}}
{{- range tuple "image" "operator" "scope" "leaderElection" "fencing" "rbac" "serviceAccount" "health" "metrics" "webhooks" "podDisruptionBudget" "networkPolicy" "flowSchema" -}}
{{- $_ := set $groups . (list $.Values .) -}}
{{- end -}}
{{- range $key, $place := $groups -}}
{{- if not (kindIs "map" (get (default dict (first $place)) (last $place))) -}}
{{- fail (printf "%s is empty: leave it out to have its defaults, or set something in it." $key) -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey .Values "replicaCount") -}}
{{- fail "replicaCount is empty: leave it out to have two replicas, or set it to a number." -}}
{{- end -}}
{{- end -}}

{{- define "kopf-operator.validateTimings" -}}
{{- $seconds := dict -}}
{{- range tuple "leaseDuration" "renewDeadline" "retryPeriod" "drainTimeout" -}}
{{- $value := get $.Values.leaderElection . -}}
{{- $number := float64 (include "kopf-operator.seconds" (dict "key" (printf "leaderElection.%s" .) "value" $value)) -}}
{{- if le $number 0.0 -}}
{{- fail (printf "leaderElection.%s is %s: set it to a positive duration." . (toString $value)) -}}
{{- end -}}
{{- $_ := set $seconds . $number -}}
{{- end -}}
{{- if lt $seconds.leaseDuration 1.0 -}}
{{- fail "leaderElection.leaseDuration is below one second, the least that a Lease expresses: raise it." -}}
{{- end -}}
{{- if ge $seconds.renewDeadline $seconds.leaseDuration -}}
{{- fail "leaderElection.renewDeadline is not below leaderElection.leaseDuration: lower the one or raise the other, or a leader would still be at work when the next one begins." -}}
{{- end -}}
{{- if ge (mulf 1.2 $seconds.retryPeriod) $seconds.renewDeadline -}}
{{- fail "leaderElection.renewDeadline is not above 1.2 × leaderElection.retryPeriod: raise the one or lower the other, or a leader could not try to renew in time." -}}
{{- end -}}
{{- $attempt := maxf 1.0 (divf $seconds.renewDeadline 2.0) -}}
{{- if ge (addf $seconds.retryPeriod $attempt) $seconds.renewDeadline -}}
{{- fail "leaderElection.retryPeriod and one request (half of leaderElection.renewDeadline, 1s at least) leave no room for another attempt before the renew deadline: lower the retry period or raise the renew deadline." -}}
{{- end -}}
{{- end -}}

{{- define "kopf-operator.validateCode" -}}
{{- $operator := .Values.operator -}}
{{- $own := or $operator.useImageCommand $operator.command -}}
{{- $given := or $operator.modules $operator.paths $operator.handlers -}}
{{- if and $own $given -}}
{{- fail "operator.command (or useImageCommand) runs a command of the image, so operator.modules, paths and handlers would be ignored: set the one or the others." -}}
{{- end -}}
{{- if and $operator.command $operator.useImageCommand -}}
{{- fail "operator.command and operator.useImageCommand contradict each other: set one of them." -}}
{{- end -}}
{{- if not (or $own $given) -}}
{{- fail "There is no code to run: set operator.handlers (files), operator.modules or operator.paths (in the image), or operator.useImageCommand: true (the image's own command)." -}}
{{- end -}}
{{- if gt (len (toJson $operator.handlers)) 1000000 -}}
{{- fail "operator.handlers has more than a megabyte, and a ConfigMap holds no more: put the files into the image, and name them in operator.paths." -}}
{{- end -}}
{{- range $name, $source := $operator.handlers -}}
{{- if not (regexMatch "^[A-Za-z_][A-Za-z0-9_]*[.]py$" $name) -}}
{{- fail (printf "operator.handlers has a file named %q, which Python cannot import: name it like \"handlers.py\"." $name) -}}
{{- end -}}
{{- if not (trim $source) -}}
{{- fail (printf "operator.handlers has an empty file, %q: give it its source (--set-file operator.handlers.handlers\\.py=handlers.py reads one), or take it out." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "kopf-operator.validateFencing" -}}
{{- if not .Values.leaderElection.enabled -}}
{{- fail "fencing.enabled needs an election, as only the Lease tells who may write: set leaderElection.enabled to true, or fencing.enabled to false." -}}
{{- end -}}
{{- if not (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "fencing.enabled needs Kubernetes 1.30 or newer (ValidatingAdmissionPolicy), and this is %s: set fencing.enabled to false." .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if not (include "kopf-operator.fenced" . | trim) -}}
{{- fail "fencing.enabled fences nothing, as no rule in rbac lets the operator write: name what it writes in fencing.resources, or in rbac.rules." -}}
{{- end -}}
{{- end -}}
